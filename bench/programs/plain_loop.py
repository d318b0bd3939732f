"""What a good engineer writes by hand: transformers' Qwen3 in bfloat16, PEFT's LoRA, autocast, a loss over chunks of rows,
no recomputation, one fused AdamW call. plain_loop.py RECIPE OUTPUT: the recipe's blocks, steps and logs as the others'.
With `bf16: false` all of it in float32."""
import json
import os
import sys
import time

import torch
import yaml
from peft import LoraConfig, get_peft_model
from recipe_blocks import load
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

CHUNK = 256  # rows of logits at a time

recipe = yaml.safe_load(open(sys.argv[1]))
output = sys.argv[2]
torch.manual_seed(42)
tokenizer = AutoTokenizer.from_pretrained(recipe["model_name_or_path"])
length = recipe["cutoff_len"]
blocks = iter(load(recipe, tokenizer))
dtype = torch.bfloat16 if recipe["bf16"] else torch.float32
model = AutoModelForCausalLM.from_pretrained(recipe["model_name_or_path"], dtype=dtype)
model = get_peft_model(model, LoraConfig(r=recipe["lora_rank"], lora_alpha=2 * recipe["lora_rank"], target_modules="all-linear"))
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=recipe["learning_rate"], weight_decay=0.0, fused=True)
schedule = get_cosine_schedule_with_warmup(optimizer, 0, recipe["max_steps"])
inner = model.get_base_model()


class ChunkedLoss(torch.autograd.Function):
    """Sum of the cross entropy over chunks of rows; the gradient is made with the logits at hand."""

    @staticmethod
    def forward(context, hidden, weight, labels, scale):
        gradient = torch.empty_like(hidden)
        total = torch.zeros((), dtype=torch.float32)
        for rows, into, wanted in zip(hidden.split(CHUNK), gradient.split(CHUNK), labels.split(CHUNK)):
            logits = (rows @ weight.t()).float()
            log_p = logits - logits.logsumexp(-1, keepdim=True)
            total -= log_p.gather(1, wanted[:, None]).sum() * scale
            share = log_p.exp_()
            share.scatter_add_(1, wanted[:, None], torch.full((len(wanted), 1), -1.0))
            torch.mm((share * scale).to(weight.dtype), weight, out=into)
        context.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(context, above):
        (gradient,) = context.saved_tensors
        return gradient * above.to(gradient.dtype), None, None, None


history = []
started = time.perf_counter()
for step in range(recipe["max_steps"]):
    total = 0.0
    window = recipe["gradient_accumulation_steps"]
    for _ in range(window):
        block = torch.tensor([next(blocks)])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe["bf16"]):
            hidden = inner.model(input_ids=block, use_cache=False).last_hidden_state[0, :-1]
        loss = ChunkedLoss.apply(hidden, inner.lm_head.weight, block[0, 1:], 1.0 / (window * length))
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad(set_to_none=True)
    history.append({"loss": total, "grad_norm": norm.item(), "step": step + 1})
seconds = time.perf_counter() - started
os.makedirs(output, exist_ok=True)
model.save_pretrained(output)
json.dump({"log_history": history}, open(os.path.join(output, "trainer_state.json"), "w"))
json.dump({"train_runtime": seconds}, open(os.path.join(output, "train_results.json"), "w"))
