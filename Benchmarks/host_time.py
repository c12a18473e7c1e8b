"""Host time of RMSNorm calls from Python, side by side: ours, torch's, and upstream's in a process of its own.

    python Benchmarks/host_time.py [--device cuda] [--upstream PYTHON]

--upstream names an interpreter whose environment has upstream's liger-kernel. Arrays are small, so that a GPU
waits for the host and not the host for it; the time of a call is that of a loop of many, without waiting.
"""

import argparse
import json
import subprocess
import sys
import time

import torch


def measure(function, device, calls=2000, rounds=7):
    """Microseconds of a call: the least of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        for _ in range(50):
            function()
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter() - start) / calls)
        if device == "cuda":
            torch.cuda.synchronize()
    return best * 1e6


def both(norm, device):
    """A call without autograd, one with, and a forward and backward pass with its end awaited."""
    x = torch.randn(8, 1024, device=device, dtype=torch.bfloat16)
    w = torch.ones(1024, device=device, dtype=torch.bfloat16, requires_grad=True)
    leaf = x.clone().requires_grad_()
    upstream = torch.randn_like(x)

    def passes(leaf, upstream):
        leaf.grad = w.grad = None
        norm(leaf, w).backward(upstream)

    with torch.no_grad():
        times = {"no_grad": measure(lambda: norm(x, w), device)}
    times["grad"] = measure(lambda: norm(leaf, w), device)
    times["forward_backward"] = measure(lambda: passes(leaf, upstream), device, 500)
    big = torch.randn(2048, 1024, device=device, dtype=torch.bfloat16, requires_grad=True)
    rows = torch.randn_like(big)
    times["forward_backward_2048x1024"] = measure(lambda: passes(big, rows), device, 500 if device == "cuda" else 5, 3)
    return times


def ours(device):
    from liger_kernel.transformers.functional import liger_rms_norm

    return both(lambda x, w: liger_rms_norm(x, w, 1e-6), device)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--upstream")
    parser.add_argument("--only", action="store_true", help="measure only the installed liger_kernel, as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(ours(arguments.device)))
        return
    table = {"liger_kernel (Swift)": ours(arguments.device)}
    functional = torch.nn.functional
    table["torch F.rms_norm"] = both(lambda x, w: functional.rms_norm(x, w.shape, w, 1e-6), arguments.device)
    if arguments.upstream:
        command = [arguments.upstream, __file__, "--only", "--device", arguments.device]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"upstream could not be measured:\n{result.stderr[-2000:]}")
        table["upstream"] = json.loads(result.stdout.splitlines()[-1])
    columns = list(next(iter(table.values())))
    print(f"| microseconds on {arguments.device} | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, times in table.items():
        print(f"| {name} | " + " | ".join(f"{times[column]:.1f}" for column in columns) + " |")


if __name__ == "__main__":
    main()
