"""LLaMA-Factory's way from a file to packed blocks: data_llamafactory.py RECIPE. Prints one line of JSON: seconds, blocks, sha256."""
import hashlib
import json
import sys
import time

import numpy as np

recipe = sys.argv[1]
sys.argv = [sys.argv[0], recipe]
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # noqa: E402
from llamafactory.hparams import get_train_args  # noqa: E402
from llamafactory.model import load_tokenizer  # noqa: E402

model, data, training, _, _ = get_train_args()
tokenizer = load_tokenizer(model)
template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data)
started = time.perf_counter()
blocks = get_dataset(template, model, data, training, stage="pt", **tokenizer)["train_dataset"]
seconds = time.perf_counter() - started
digest = hashlib.sha256()
for batch in blocks.iter(1000):
    for ids in batch["input_ids"]:
        digest.update(np.asarray(ids, dtype=np.int32).tobytes())
print(json.dumps({"seconds": seconds, "blocks": len(blocks), "sha256": digest.hexdigest()}))
