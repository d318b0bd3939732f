"""Makes tokenizer.json of this folder: byte-level BPE as Qwen3's own (same normalizer, splitting and special tokens'
names) with 8,192 entries, trained on the poems that corpus.mjs wrote and on nothing held out.

Needs tokenizers 0.22. Usage: python make_tokenizer.py [FOLDER/poetry.jsonl]
"""

import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
ENTRIES = 8192
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(cls):
    return cls(add_prefix_space=False, trim_offsets=False, use_regex=False)


def main() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, plain])
    tokenizer.decoder = byte_level(decoders.ByteLevel)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = sys.argv[1] if len(sys.argv) > 1 else ".corpus/poetry.jsonl"
    with open(corpus, encoding="utf-8") as lines:
        tokenizer.train_from_iterator((json.loads(line)["text"] for line in lines), trainer)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in SPECIAL])
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    print(f"{tokenizer.get_vocab_size()} entries")


main()
