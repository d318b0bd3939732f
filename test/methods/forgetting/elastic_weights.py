# Fisher information and the penalty of elastic weight consolidation, worked in PyTorch with autograd alone.
# argv: model folder, a safetensors file of what is to be checked, its JSON. Prints the relative errors.
import json
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

folder, tensors, values = sys.argv[1], load_file(sys.argv[2]), json.load(open(sys.argv[3]))
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
weights = dict(model.named_parameters())
fisher = {name: torch.zeros_like(weight) for name, weight in weights.items()}
tokens = 0
for ids, labels in zip(values["ids"], values["labels"]):
    logits = model(torch.tensor([ids])).logits[0, :-1]
    wanted = torch.tensor(labels[1:])
    log_likelihood = -torch.nn.functional.cross_entropy(logits, wanted, reduction="sum", ignore_index=-100)
    model.zero_grad()
    log_likelihood.backward()
    for name, weight in weights.items():
        fisher[name] += weight.grad**2
    tokens += int((wanted != -100).sum())


def error(found, expected):
    return float((found.double() - expected).norm() / expected.norm())


errors = {"tokens": abs(tokens - values["tokens"])}
for name in weights:
    fisher[name] /= tokens
    errors[f"fisher {name}"] = error(tensors[f"fisher/{name}"], fisher[name])

start = {name: weight.detach().clone() for name, weight in weights.items()}
moved = {name: tensors[f"moved/{name}"].double().requires_grad_() for name in weights}
penalty = sum((fisher[n] * (moved[n] - start[n]) ** 2).sum() for n in weights) * values["lambda"] / 2
penalty.backward()
errors["penalty"] = abs(values["penalty"] - penalty.item()) / penalty.item()
for name in weights:
    errors[f"gradient {name}"] = error(tensors[f"gradient/{name}"], moved[name].grad)

total = 0
factors = {}
for name in weights:
    if f"a/{name}" in tensors:
        a, b = tensors[f"a/{name}"].double().requires_grad_(), tensors[f"b/{name}"].double().requires_grad_()
        factors[name] = a, b
        total = total + (fisher[name] * (values["scaling"] * b @ a) ** 2).sum() * values["lambda"] / 2
total.backward()
errors["adapter's penalty"] = abs(values["adapter"] - total.item()) / total.item()
for name, (a, b) in factors.items():
    errors[f"gradient of A {name}"] = error(tensors[f"da/{name}"], a.grad)
    errors[f"gradient of B {name}"] = error(tensors[f"db/{name}"], b.grad)
print(json.dumps(errors))
