"""Times our kernels and PyTorch's eager formulas in turns on the same cores, forward and backward.

Usage: python Benchmarks/compare_with_torch.py [--rounds N] [--only NAME]

Each round runs `liger bench` for one operation and then the formula in PyTorch with as many threads, so
that a slow moment of the machine falls on both. A row shows the median of the rounds' ratios and their
range; "share of copy" is the least bytes the operation moves, over our time, against a copy of 64 MiB
timed in the same run. Prints a Markdown table.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

from pathlib import Path

import torch
import torch.nn.functional as F

LIGER = Path(__file__).resolve().parent.parent / ".build/release/liger"
ROWS, COLUMNS, VOCABULARY, HEAD = 2048, 4096, 32000, 128


def leaf(*shape):
    return torch.randn(*shape, requires_grad=True)


def rms_norm():
    x, w = leaf(ROWS, COLUMNS), leaf(COLUMNS)
    return (x, w), lambda: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * w


def layer_norm():
    x, w, b = leaf(ROWS, COLUMNS), leaf(COLUMNS), leaf(COLUMNS)
    return (x, w, b), lambda: F.layer_norm(x, (COLUMNS,), w, b)


def rope():
    x = leaf(1, ROWS, COLUMNS // HEAD, HEAD)
    angles = torch.outer(torch.arange(ROWS), 1e4 ** (-torch.arange(0, HEAD, 2) / HEAD))
    angles = torch.cat((angles, angles), -1)[None, :, None, :]
    cos, sin = angles.cos(), angles.sin()

    def forward():
        rotated = torch.cat((-x[..., HEAD // 2 :], x[..., : HEAD // 2]), -1)
        return x * cos + rotated * sin

    return (x,), forward


def swiglu():
    gate, up = leaf(ROWS, COLUMNS), leaf(ROWS, COLUMNS)
    return (gate, up), lambda: F.silu(gate) * up


def swiglu_formula():
    gate, up = leaf(ROWS, COLUMNS), leaf(ROWS, COLUMNS)
    return (gate, up), lambda: gate * torch.sigmoid(gate) * up


def geglu():
    gate, up = leaf(ROWS, COLUMNS), leaf(ROWS, COLUMNS)
    return (gate, up), lambda: F.gelu(gate, approximate="tanh") * up


def cross_entropy():
    logits, labels = leaf(ROWS, VOCABULARY), torch.randint(0, VOCABULARY, (ROWS,))
    return (logits,), lambda: F.cross_entropy(logits, labels)


# Our name, what stands on the other side, its maker, and the ratio to reach.
CASES = [
    ("RMSNorm", "x * rsqrt(mean(x^2) + eps) * w", rms_norm, 3),
    ("LayerNorm", "F.layer_norm", layer_norm, 2),
    ("RoPE", "x * cos + rotate_half(x) * sin", rope, 3),
    ("SwiGLU", "gate * sigmoid(gate) * up", swiglu_formula, 3),
    ("SwiGLU", "F.silu(gate) * up", swiglu, 3),
    ("GeGLU", "F.gelu(gate, tanh) * up", geglu, 3),
    ("CrossEntropy", "F.cross_entropy", cross_entropy, 3),
]


def time_torch(make, repeats):
    leaves, forward = make()
    result = forward()
    upstream = torch.randn_like(result)
    times = []
    for _ in range(repeats + 1):
        for tensor in leaves:
            tensor.grad = None
        start = time.perf_counter()
        forward().backward(upstream)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def time_ours(name, repeats):
    command = [LIGER, "bench", "--json", "--operation", name, "--rounds", str(repeats)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    rows = {line["operation"]: line for line in lines}
    return rows[name], rows["copy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7, help="timings within a round; the median counts")
    parser.add_argument("--only", help="one operation")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("LIGER_THREADS", len(os.sched_getaffinity(0)))))
    print("| operation | PyTorch eager | PyTorch ms | ours ms | ratio (range) | mark | share of copy |")
    print("|---|---|---|---|---|---|---|")
    for name, formula, make, mark in CASES:
        if options.only and options.only != name:
            continue
        theirs, ours, shares = [], [], []
        for _ in range(options.rounds):
            row, copy = time_ours(name, options.repeats)
            ours.append(row["milliseconds"] / 1e3)
            shares.append(row["gigabytesPerSecond"] / copy["gigabytesPerSecond"])
            theirs.append(time_torch(make, options.repeats))
        ratios = [a / b for a, b in zip(theirs, ours)]
        print(
            f"| {name} | `{formula}` | {statistics.median(theirs) * 1e3:.1f} | {statistics.median(ours) * 1e3:.1f} "
            f"| {statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f}) | {mark} "
            f"| {statistics.median(shares):.0%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
