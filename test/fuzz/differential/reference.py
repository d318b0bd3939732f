"""What the reference makes of the cases of the differential run: datasets 4.0.0 and LLaMA-Factory's columns for rows,
transformers 5.6.0 for tokenizers and models, PEFT 0.18.1 for adapters. Reads a list of cases on stdin, writes one line
of JSON for each: {"index", "value"} or {"index", "refused"}."""

import json
import os
import sys
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="critical", DISABLE_VERSION_CHECK="1")
warnings.simplefilter("ignore")

import logging  # noqa: E402

import datasets  # noqa: E402
import torch  # noqa: E402
from datasets.packaged_modules.csv.csv import Csv, CsvConfig  # noqa: E402
from datasets.packaged_modules.json.json import Json, JsonConfig  # noqa: E402
from datasets.packaged_modules.text.text import Text, TextConfig  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

logging.disable(logging.CRITICAL)
torch.set_num_threads(1)
BUILDERS = {".json": (Json, JsonConfig), ".jsonl": (Json, JsonConfig), ".csv": (Csv, CsvConfig), ".txt": (Text, TextConfig)}
IDS = torch.arange(1, 13).unsqueeze(0)


def rows(case):
    builder, config = BUILDERS[os.path.splitext(case["file"])[1]]
    made = builder.__new__(builder)
    made.config = config(name="default")
    found = []
    for _, table in made._generate_tables([[case["file"]]]):
        found += table.to_pylist()
    # AlpacaDatasetConverter of LLaMA-Factory 0.9.5, for "columns": {"prompt": "text"}
    return ["\n".join([row["text"]] if row["text"] else []) for row in found]


def tokenizer(case):
    read = AutoTokenizer.from_pretrained(case["folder"])
    ids = [read(text, add_special_tokens=False)["input_ids"] for text in case["texts"]]
    return {"ids": ids, "eos": read.eos_token_id, "pad": read.pad_token_id, "size": len(read)}


def logits(model):
    with torch.no_grad():
        out = model.eval()(input_ids=IDS).logits[0, ::5, ::7].double()
    return [round(one, 6) for one in out.flatten().tolist()]


def model(case):
    read, info = AutoModelForCausalLM.from_pretrained(case["folder"], output_loading_info=True)
    if info["missing_keys"]:
        raise ValueError(f"made up: {sorted(info['missing_keys'])[:2]}")
    return logits(read.float())


def adapter(case):
    base = AutoModelForCausalLM.from_pretrained(case["base"], dtype=torch.float32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read = PeftModel.from_pretrained(base, case["folder"])
    made_up = [str(one.message) for one in caught if "missing adapter keys" in str(one.message)]
    if made_up:
        raise ValueError(f"made up: {made_up[0][:80]}")
    return logits(read)


KINDS = {"rows": rows, "tokenizer": tokenizer, "model": model, "adapter": adapter}
for case in json.load(sys.stdin):
    try:
        answer = {"value": KINDS[case["kind"]](case)}
    except Exception as error:  # noqa: BLE001
        answer = {"refused": f"{type(error).__name__}: {error}"[:160]}
    print(json.dumps({"index": case["index"], **answer}), flush=True)
