"""Times how this package starts, in fresh processes: its import beyond torch's, and its first kernels on a GPU.

Usage: python Benchmarks/cold_start.py [--device cuda] [--rounds N] [--upstream FOLDER]

The import is that of `liger_kernel.transformers` with three modules and the functions, after torch's; compiled
sources are there (`__pycache__`). On a GPU, the first RMSNorm forward and backward after torch's first of something
else, with CUDA_CACHE_DISABLE=1, so that kernels are compiled: by the clock, with its end awaited. --upstream names a
folder that Liger-Kernel is installed in (`pip install --target`), for the same beside. Prints medians, and the least
and the most, in milliseconds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMPORT = """
import time, torch
start = time.perf_counter()
import liger_kernel.transformers, liger_kernel.transformers.functional
from liger_kernel.transformers import LigerRMSNorm, LigerSwiGLUMLP, LigerCrossEntropyLoss
print((time.perf_counter() - start) * 1e3)
"""
FIRST = """
import time, torch
from liger_kernel.transformers import LigerRMSNorm
x = torch.randn(2048, 4096, device="cuda", dtype=torch.bfloat16, requires_grad=True)
norm, upstream = LigerRMSNorm(4096).to("cuda", torch.bfloat16), torch.randn_like(x)
torch.nn.functional.silu(x).backward(upstream)  # Torch imports much of itself here.
x.grad = None
torch.cuda.synchronize()
start = time.perf_counter()
norm(x).backward(upstream)
torch.cuda.synchronize()
print((time.perf_counter() - start) * 1e3)
"""


def measure(code, path, rounds):
    """Median, least and most of what fresh processes print; None where they fail."""
    times = []
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as empty:
            environment = {**os.environ, "PYTHONPATH": path, "CUDA_CACHE_DISABLE": "1", "TRITON_CACHE_DIR": empty}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        if done.returncode:
            print(done.stderr[-1000:], file=sys.stderr)
            return None
        # The first one may have to compile the sources.
        times += [float(done.stdout.split()[-1])] if number else []
    return statistics.median(times), min(times), max(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--upstream")
    arguments = parser.parse_args()
    sides = {"ours": str(ROOT / "python" / "src")}
    if arguments.upstream:
        sides["Liger-Kernel"] = arguments.upstream
    print("| what | mark | " + " | ".join(sides) + " |\n|---|---:|" + "---:|" * len(sides))
    cases = [("import beyond torch's", 50, IMPORT)]
    if arguments.device == "cuda":
        cases.append(("first RMSNorm forward and backward", 200, FIRST))
    for name, mark, code in cases:
        found = [measure(code, path, arguments.rounds) for path in sides.values()]
        cells = ["failed" if t is None else f"{t[0]:.0f} ({t[1]:.0f}-{t[2]:.0f})" for t in found]
        print(f"| {name}, ms | {mark} | " + " | ".join(cells) + " |", flush=True)


main()
