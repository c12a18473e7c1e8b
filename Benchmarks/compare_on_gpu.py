"""Times our kernels, PyTorch's, torch.compile's, Liger-Kernel's and QuACK's on one NVIDIA GPU, forward and backward.

Usage: python Benchmarks/compare_on_gpu.py [--rounds N] [--liger PATH] [--only NAME]

Device time in bf16 with cold caches, as CUDA events see it: every run comes behind a write of 512 MiB. Ours are
run by `liger bench`, the others in this process, one after the other for each operation. The GPU is kept busy
until the host has handed it a peer's whole run, so that what starting kernels costs there does not count. A row shows
medians in milliseconds and, in brackets, how far half of the runs spread. Liger-Kernel and QuACK are left out where
they are not installed.
Prints a Markdown table.
"""

import argparse
import json
import statistics
import subprocess
import sys

from pathlib import Path

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
DEVICE = "cuda"


def leaf(*shape, scale=1.0):
    return (torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16) * scale).requires_grad_()


def upstream():
    try:
        import liger_kernel.ops as ops
        return ops
    except ImportError:
        return None


def quack():
    try:
        import quack
        return quack
    except ImportError:
        return None


def rms_norm(rows, columns):
    x, w, dy = leaf(rows, columns), leaf(columns), torch.randn(rows, columns, device=DEVICE, dtype=torch.bfloat16)
    def plain():
        return F.rms_norm(x, (columns,), w, 1e-6)

    peers = {"torch": plain, "torch.compile": torch.compile(plain)}
    if ops := upstream():
        peers["Liger-Kernel"] = lambda: ops.LigerRMSNormFunction.apply(x, w, 1e-6, 0.0, "llama", False, None)
    if other := quack():
        peers["QuACK"] = lambda: other.rmsnorm(x, w, eps=1e-6)
    return (x, w), dy, peers


def layer_norm(rows, columns):
    x, w, b = leaf(rows, columns), leaf(columns), leaf(columns)
    dy = torch.randn(rows, columns, device=DEVICE, dtype=torch.bfloat16)
    def plain():
        return F.layer_norm(x, (columns,), w, b)

    peers = {"torch": plain, "torch.compile": torch.compile(plain)}
    if ops := upstream():
        peers["Liger-Kernel"] = lambda: ops.LigerLayerNormFunction.apply(x, w, b, 1e-5)
    return (x, w, b), dy, peers


def gated(activation, name):
    def case(rows, columns):
        a, b = leaf(rows, columns), leaf(rows, columns)
        dy = torch.randn(rows, columns, device=DEVICE, dtype=torch.bfloat16)
        def plain():
            return activation(a) * b

        peers = {"torch": plain, "torch.compile": torch.compile(plain)}
        if ops := upstream():
            # It overwrites what it saved, so each run gets fresh copies of the graph's leaves.
            peers["Liger-Kernel"] = lambda: getattr(ops, name).apply(a.view_as(a), b.view_as(b))
        return (a, b), dy, peers

    return case


def softmax(rows, columns):
    x, dy = leaf(rows, columns), torch.randn(rows, columns, device=DEVICE, dtype=torch.bfloat16)
    peers = {"torch": lambda: F.softmax(x, -1)}
    if ops := upstream():
        peers["Liger-Kernel"] = lambda: ops.LigerSoftmaxFunction.apply(x)
    if other := quack():
        peers["QuACK"] = lambda: other.softmax(x)
    return (x,), dy, peers


def cross_entropy(rows, vocabulary):
    x, labels = leaf(rows, vocabulary), torch.randint(vocabulary, (rows,), device=DEVICE)
    def plain():
        return F.cross_entropy(x, labels)

    peers = {"torch": plain, "torch.compile": torch.compile(plain)}
    if ops := upstream():
        peers["Liger-Kernel"] = lambda: ops.LigerCrossEntropyFunction.apply(x.clone(), labels, None)[0]
    if other := quack():
        peers["QuACK"] = lambda: other.cross_entropy(x, labels)
    return (x,), None, peers


def linear_cross_entropy(rows, hidden, vocabulary):
    x, w = leaf(rows, hidden), leaf(vocabulary, hidden, scale=0.02)
    labels = torch.randint(vocabulary, (rows,), device=DEVICE)

    def plain():
        return F.cross_entropy((x @ w.T).float(), labels)

    peers = {"torch": plain, "torch.compile": torch.compile(plain)}
    if ops := upstream():
        peers["Liger-Kernel"] = lambda: ops.LigerFusedLinearCrossEntropyFunction.apply(x, w, labels)[0]
    return (x, w), None, peers


# Operation of `liger bench`, its options, the peers' case.
CASES = [
    ("RMSNorm", {"rows": 8192, "columns": 4096}, rms_norm),
    ("RMSNorm", {"rows": 16384, "columns": 8192}, rms_norm),
    ("RMSNorm", {"rows": 65536, "columns": 128}, rms_norm),
    ("RMSNorm", {"rows": 2048, "columns": 1024}, rms_norm),
    ("LayerNorm", {"rows": 8192, "columns": 4096}, layer_norm),
    ("LayerNorm", {"rows": 16384, "columns": 8192}, layer_norm),
    ("SwiGLU", {"rows": 8192, "columns": 14336}, gated(F.silu, "LigerSiLUMulFunction")),
    ("GeGLU", {"rows": 8192, "columns": 14336}, gated(lambda a: F.gelu(a, approximate="tanh"), "LigerGELUMulFunction")),
    ("Softmax", {"rows": 8192, "columns": 4096}, softmax),
    ("Softmax", {"rows": 4096, "columns": 32768}, softmax),
    ("CrossEntropy", {"rows": 8192, "vocabulary": 32000}, cross_entropy),
    ("CrossEntropy", {"rows": 4096, "vocabulary": 128256}, cross_entropy),
    ("FusedLinearCrossEntropy", {"rows": 8192, "hidden": 4096, "vocabulary": 128256}, linear_cross_entropy),
    ("FusedLinearCrossEntropy", {"rows": 16384, "hidden": 2048, "vocabulary": 151936}, linear_cross_entropy),
]


def time_peer(forward, leaves, dy, rounds, flush):
    def step():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(dy)

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        for leaf in leaves:
            leaf.grad = None
        flush.zero_()
        flush.zero_()
        torch.cuda._sleep(5_000_000)
        start.record()
        forward().backward(dy)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return summary(times), (torch.cuda.max_memory_allocated() - before) / 2**20


def summary(times):
    times.sort()
    middle = statistics.median(times)
    return middle, (times[len(times) * 3 // 4] - times[len(times) // 4]) / 2 / middle


def ours(liger, operation, options, rounds):
    command = [liger, "bench", "--device", "cuda", "--dtype", "bf16", "--json", "--rounds", str(rounds)]
    command += ["--operation", operation]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    row = next(line for line in lines if line["operation"] == operation)
    return row["milliseconds"], row["spread"], row["peakBytes"] / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--liger", default=str(ROOT / ".build/release/liger"))
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("compare_on_gpu: PyTorch sees no GPU here. Run it on a machine with one.")
    flush = torch.empty(1 << 28, dtype=torch.uint8, device=DEVICE)
    names = ["torch", "torch.compile", "Liger-Kernel", "QuACK"]
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    print("| operation | shape | " + " | ".join(names) + " | ours | ours / best peer |")
    print("|---|---|" + "---:|" * (len(names) + 2))
    for operation, options, case in CASES:
        if arguments.only and arguments.only != operation:
            continue
        milliseconds, spread, peak = ours(arguments.liger, operation, options, arguments.rounds)
        leaves, dy, peers = case(**options)
        cells, best = [], float("inf")
        for name in names:
            if name not in peers:
                cells.append("-")
                continue
            try:
                (middle, width), memory = time_peer(peers[name], leaves, dy, arguments.rounds, flush)
                best = min(best, middle)
                cells.append(f"{middle:.4g} (±{width:.0%})" + (f", {memory:,.0f} MiB" if "hidden" in options else ""))
            except Exception as error:  # a peer that fails is a row of the table, not the end of it
                cells.append(type(error).__name__)
        shape = "x".join(str(value) for value in options.values())
        own = f"{milliseconds:.4g} (±{spread:.0%})" + (f", {peak:,.0f} MiB" if "hidden" in options else "")
        print(f"| {operation} | {shape} | " + " | ".join(cells) + f" | {own} | {milliseconds / best:.2f} |", flush=True)
        del leaves, dy, peers
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
