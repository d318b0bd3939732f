# Distillation worked in transformers and PyTorch's autograd.
# argv: the teacher's folder, the student's folder, a safetensors file of gradients to be checked, its JSON.
# Prints the relative errors.
import json
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

teacher, student = (AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64) for folder in sys.argv[1:3])
gradients, values = load_file(sys.argv[3]), json.load(open(sys.argv[4]))
ids, labels = torch.tensor(values["ids"]), torch.tensor(values["labels"])
with torch.no_grad():
    taught = teacher(ids).logits[:, :-1]
wanted = labels[:, 1:]
kept = wanted != -100
errors = {}
for run in values["runs"]:
    share, temperature = run["share"], run["temperature"]
    logits = student(ids).logits[:, :-1]
    entropy = torch.nn.functional.cross_entropy(logits[kept], wanted[kept])
    divergence = temperature**2 * torch.nn.functional.kl_div(
        (logits[kept] / temperature).log_softmax(-1),
        (taught[kept] / temperature).log_softmax(-1),
        reduction="batchmean",
        log_target=True,
    )
    student.zero_grad()
    ((1 - share) * entropy + share * divergence).backward()
    errors[f"{share} loss"] = abs(run["loss"] - entropy.item()) / entropy.item()
    errors[f"{share} divergence"] = abs(run["divergence"] - divergence.item()) / divergence.item()
    for name, weight in student.named_parameters():
        error = (gradients[f"{share}/{name}"].double() - weight.grad).norm() / weight.grad.norm()
        errors[f"{share} {name}"] = float(error)
print(json.dumps(errors))
