"""Logits of a model in 4 bits by transformers and bitsandbytes, with a PEFT adapter over it, as a safetensors file.

Usage: logits_4bit.py MODEL ADAPTER IDS OUT    MODEL is quantized, or plain and quantized here; ADAPTER may be none"""

import json
import os
import sys

# this file's name is the package's
sys.path.pop(0)

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

model, adapter, ids, out = sys.argv[1:]
with open(os.path.join(model, "config.json"), encoding="utf8") as file:
    quantized = "quantization_config" in json.load(file)
config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                            bnb_4bit_compute_dtype=torch.float32)
made = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, device_map="cpu",
                                            **({} if quantized else {"quantization_config": config}))
for module in made.modules():
    if type(module).__name__ == "Linear4bit":
        module.compute_dtype = torch.float32
        # their kernel for AVX512_BF16 rounds to bfloat16, whatever the compute dtype
        module.support_avx512bf16_for_cpu = False
if adapter != "none":
    from peft import PeftModel

    made = PeftModel.from_pretrained(made, adapter)
with torch.no_grad():
    logits = made.eval()(load_file(ids)["ids"]).logits
kinds = sorted({type(module).__name__ for module in made.modules() if "4bit" in type(module).__name__})
save_file({"logits": logits.float()}, out)
print(json.dumps(kinds))
