"""The recipe's text as packed blocks, for the peers that have no reader of recipes: load(RECIPE, TOKENIZER)."""
import json
import os

import torch


def load(recipe, tokenizer):
    """All documents, each with its end, cut into blocks of cutoff_len tokens, in the order that training takes them."""
    info = json.load(open(os.path.join(recipe["dataset_dir"], "dataset_info.json")))[recipe["dataset"]]
    lines = open(os.path.join(recipe["dataset_dir"], info["file_name"]))
    texts = [json.loads(line)[info["columns"]["prompt"]] for line in lines][: recipe["max_samples"]]
    ids = [token for text in texts for token in tokenizer(text + tokenizer.eos_token)["input_ids"]]
    length = recipe["cutoff_len"]
    blocks = [ids[at : at + length] for at in range(0, len(ids) - length + 1, length)]
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(42)).tolist()
    return [blocks[at] for at in order]
