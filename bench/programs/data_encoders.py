"""From a file of JSON lines to token ids by other libraries: data_encoders.py bpe-qwen|tokenizers TOKENIZER FILE WORKERS.

Prints one line of JSON: seconds from opening the file to the last id, and tokens. Both libraries are called as their
authors advise; bpe-qwen on several workers is called in as many processes, each with its share of every batch (its own
encode_batch_parallel was slower), of which only counts come back.
"""

import itertools
import json
import multiprocessing
import os
import sys
import time

BATCH = 4000
SEPARATOR = "<|endoftext|>"


def bpe_qwen(tokenizer):
    from bpe_qwen.bpe_qwen import QwenTokenizer

    folder = os.path.join(tokenizer, "bpe-qwen")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(tokenizer, "tokenizer.json"), encoding="utf-8") as file:
        model = json.load(file)["model"]
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as file:
        json.dump(model["vocab"], file, ensure_ascii=False)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "\n".join(merges) + "\n")
    with open(os.path.join(tokenizer, "tokenizer_config.json"), encoding="utf-8") as file:
        config = file.read()
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as file:
        file.write(config)
    encode = QwenTokenizer(folder).encode
    return lambda lines: sum(len(encode(text_of(line))) for line in lines)


def tokenizers(tokenizer):
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(os.path.join(tokenizer, "tokenizer.json"))
    encode = made.encode_batch_fast
    return lambda lines: sum(
        len(one.ids) for one in encode([text_of(line) for line in lines], add_special_tokens=False)
    )


def text_of(line):
    return json.loads(line)["text"] + SEPARATOR


def batches(file):
    with open(file, encoding="utf-8") as lines:
        while batch := list(itertools.islice(lines, BATCH)):
            yield batch


def main(what, tokenizer, file, workers):
    global count
    count = {"bpe-qwen": bpe_qwen, "tokenizers": tokenizers}[what](tokenizer)
    count(['{"text": "warm"}'])
    if what == "bpe-qwen" and workers > 1:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            started = time.perf_counter()
            tokens = sum(pool.imap(counted, batches(file)))
            seconds = time.perf_counter() - started
    else:
        started = time.perf_counter()
        tokens = sum(count(batch) for batch in batches(file))
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "tokens": tokens}))


def counted(lines):
    return count(lines)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
