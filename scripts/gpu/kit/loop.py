"""The loop that a good engineer writes with transformers and PEFT, on the same random model and card: LoRA of rank 8 in
bfloat16, libtorch's own attention, nothing recomputed, one fused AdamW call. loop.py MODEL RESULT.json cuda|cpu"""
import json
import sys
import time

model_folder, result, kind = sys.argv[1:]
try:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM
except ImportError as problem:
    json.dump({"error": str(problem)}, open(result, "w"))
    print(f"not run: {problem}")
    sys.exit(77)  # check.sh: what it needs is not here

is_card = kind == "cuda"
length, steps = (1024, 10) if is_card else (64, 3)
synchronize = torch.cuda.synchronize if is_card else (lambda: None)
cells = []
for rows in (1, 8) if is_card else (1, 2):
    torch.manual_seed(42)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.bfloat16).to(kind)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)
    if is_card:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for step in range(steps):
        ids = torch.randint(0, 8000, (rows, length))
        synchronize()
        start = time.perf_counter()
        ids = ids.to(kind, non_blocking=True)
        with torch.autocast(kind, dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronize()
        seconds.append(time.perf_counter() - start)
    kept = sorted(seconds[min(3, steps - 1):])
    cells.append(
        {
            "name": f"LoRA, {rows} row{'s' if rows > 1 else ''}",
            "tokensPerSecond": rows * length / kept[len(kept) // 2],
            "peakBytes": torch.cuda.max_memory_allocated() if is_card else None,
        }
    )
    print(cells[-1], flush=True)
    del model, optimizer, trained
json.dump({"torch": torch.__version__, "cells": cells}, open(result, "w"))
