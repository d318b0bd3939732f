"""Microseconds per operator call in Python's torch: the other half of operators.mjs, which runs it."""

import json
import statistics
import time

import torch
import torch.nn.functional as F

CALLS, BATCHES = 200, 60

OPERATORS = {
    "add": lambda t: t["x"] + t["y"],
    "mul number": lambda t: t["x"] * 2.5,
    "sub alpha": lambda t: torch.sub(t["x"], t["y"], alpha=2),
    "silu": lambda t: F.silu(t["x"]),
    "matmul": lambda t: t["x"] @ t["w"],
    "linear": lambda t: F.linear(t["x"], t["w"], t["v"]),
    "sum dim": lambda t: t["x"].sum(1),
    "softmax": lambda t: t["x"].softmax(-1),
    "rms_norm": lambda t: F.rms_norm(t["x"], (8,), t["v"], 1e-6),
    "view": lambda t: t["x"].view(4, 16),
    "transpose": lambda t: t["x"].transpose(0, 1),
    "select": lambda t: t["x"].select(0, 3),
    "cat": lambda t: torch.cat((t["x"], t["y"]), 0),
    "to bfloat16": lambda t: t["x"].to(torch.bfloat16),
    "embedding": lambda t: F.embedding(t["i"], t["w"]),
    "add_": lambda t: t["z"].add_(t["y"]),
}


def timed(operator, tensors):
    start = time.perf_counter_ns()
    for _ in range(CALLS):
        operator(tensors)
    return (time.perf_counter_ns() - start) / CALLS / 1000


def main():
    torch.set_num_threads(1)
    times = {}
    for mode in ("grad", "plain"):
        shapes = {"x": (8, 8), "y": (8, 8), "w": (8, 8), "v": (8,)}
        tensors = {name: torch.randn(shape, requires_grad=mode == "grad") for name, shape in shapes.items()}
        tensors |= {"z": torch.randn(8, 8), "i": torch.arange(8)}
        for name, operator in OPERATORS.items():
            if mode == "grad" and name.endswith("_"):
                continue
            for _ in range(20):
                timed(operator, tensors)
            times[f"{name} {mode}"] = statistics.median(timed(operator, tensors) for _ in range(BATCHES))
    print(json.dumps({"version": torch.__version__, "times": times}))


main()
