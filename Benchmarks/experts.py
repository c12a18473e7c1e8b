"""Times the experts of a mixture, forward and backward, on one NVIDIA GPU, and checks them against fp32.

Usage: python Benchmarks/experts.py [--rounds N] [--shapes 8192x2048x768x128x8 ...] [--liger FOLDER]

A shape is tokens x hidden x inner x experts x choices of a token. Ours, torch's grouped_mm with a fused gate (what ours
does where its kernels do not fit), and with --liger upstream's Triton function, from a folder with the unpacked wheel,
run in one process, in turns. Time is the median of wall times between synchronisations, with how far half of the runs
spread; rates count 18 x inner x hidden operations a row. Memory is the peak above inputs and gradients. Errors are of
the result and the gradients of x, gates, down and weights, norm-wise, against a loop over experts in fp32.
"""

import argparse
import importlib
import statistics
import sys
import time

import torch
import torch.nn.functional as F

from liger_kernel.ops import fused_moe

SHAPES = ["8192x2048x768x128x8", "32768x2048x768x128x8"]


def upstream(folder):
    """Upstream's function, from a package of our package's name."""
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "liger_kernel"}
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("liger_kernel.ops.fused_moe").LigerFusedMoEFunction.apply
    finally:
        sys.path.remove(folder)
        for name in [name for name in sys.modules if name.split(".")[0] == "liger_kernel"]:
            sys.modules.pop(name)
        sys.modules.update(ours)


def grouped(*arguments):
    """Our composition over torch's grouped products."""
    own, fused_moe.fits_kernels = fused_moe.fits_kernels, lambda *_: False
    try:
        return fused_moe.fused_experts(*arguments)
    finally:
        fused_moe.fits_kernels = own


def operands(tokens, hidden, inner, experts, choices, device, dtype):
    torch.manual_seed(0)
    x = torch.randn(tokens, hidden, device=device, dtype=dtype)
    gate_up = torch.randn(experts, 2 * inner, hidden, device=device, dtype=dtype) * hidden**-0.5
    down = torch.randn(experts, hidden, inner, device=device, dtype=dtype) * inner**-0.5
    weights, index = torch.randn(tokens, experts, device=device).softmax(-1).topk(choices)
    weights = (weights / weights.sum(-1, keepdim=True)).to(dtype)
    tensors = [each.requires_grad_() for each in (x, gate_up, down, weights)]
    return tensors, index.to(torch.int32), torch.randn_like(x)


def step(function, tensors, index, dy):
    x, gate_up, down, weights = tensors
    y = function(x, gate_up, down, index, weights)
    return y, torch.autograd.grad(y, tensors, dy)


def reference(tensors, index, dy):
    """y and gradients in fp32, an expert at a time."""
    x, gate_up, down, weights = (each.detach() for each in tensors)
    y, dx = torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(x, dtype=torch.float32)
    dweights, matrices = torch.zeros_like(weights, dtype=torch.float32), []
    for expert in range(gate_up.shape[0]):
        token, choice = torch.where(index == expert)
        leaves = [x[token], gate_up[expert], down[expert], weights[token, choice]]
        leaves = [each.float().requires_grad_() for each in leaves]
        gate, up = F.linear(leaves[0], leaves[1]).chunk(2, -1)
        part = F.linear(F.silu(gate) * up, leaves[2]) * leaves[3][:, None]
        gradients = torch.autograd.grad(part, leaves, dy[token].float())
        y.index_add_(0, token, part.detach())
        dx.index_add_(0, token, gradients[0])
        dweights[token, choice] = gradients[3]
        matrices.append(gradients[1:3])
    return [y, dx, *(torch.stack(each) for each in zip(*matrices)), dweights]


def errors(found, wanted):
    def error(a, b):
        return float((a.detach().to(b.device).float() - b).norm() / b.norm())

    return [error(a, b) for a, b in zip((found[0], *found[1]), wanted)]


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def timed(functions, rounds, device):
    """Milliseconds of each, in turns: medians, and how far half of the runs spread."""
    times = {name: [] for name in functions}
    for turn in range(rounds + 3):
        for name, function in functions.items():
            synchronize(device)
            start = time.perf_counter()
            function()
            synchronize(device)
            if turn > 2:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: (statistics.median(own), *statistics.quantiles(own, n=4)[::2]) for name, own in times.items()}


def peak(function, device):
    """MiB above what was there before and what is given back."""
    if device != "cuda":
        return 0.0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = function()
    torch.cuda.synchronize()
    kept = torch.cuda.memory_allocated() - before
    del result
    return (torch.cuda.max_memory_allocated() - before - kept) / 2**20


def measure(shape, functions, options):
    tokens, hidden, inner, experts, choices = map(int, shape.split("x"))
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    tensors, index, dy = operands(tokens, hidden, inner, experts, choices, options.device, dtype)
    wanted = reference(tensors, index, dy)
    work = 18 * tokens * choices * hidden * inner
    steps = {name: lambda f=function: step(f, tensors, index, dy) for name, function in functions.items()}
    found = {name: errors(run(), wanted) for name, run in steps.items()}
    memory = {name: peak(run, options.device) for name, run in steps.items()}
    times = timed(steps, options.rounds, options.device)

    def inference(function):
        with torch.no_grad():
            return function(tensors[0], tensors[1], tensors[2], index, tensors[3])

    forward = timed(
        {name: lambda f=function: inference(f) for name, function in functions.items()}, options.rounds, options.device
    )
    for name in functions:
        middle, low, high = times[name]
        print(
            f"| {shape} | {name} | {middle:.3f} [{low:.3f}, {high:.3f}] | {work / middle * 1e-9:.0f} | "
            f"{forward[name][0]:.3f} ({work / 3 / forward[name][0] * 1e-9:.0f}) | {memory[name]:.0f} | "
            + " ".join(f"{error:.1e}" for error in found[name]) + " |",
            flush=True,
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--shapes", nargs="+", default=SHAPES)
    parser.add_argument("--liger", help="a folder with upstream's unpacked wheel")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    functions = {"ours": fused_moe.fused_experts, "grouped_mm": grouped}
    if options.liger:
        functions["Liger-Kernel"] = upstream(options.liger)
    print(torch.cuda.get_device_name() if options.device == "cuda" else "processor")
    print("| shape | which | forward + backward, ms | TFLOP/s | forward alone, ms (TFLOP/s) | MiB | errors |")
    print("|---|---|---:|---:|---:|---:|---|")
    for shape in options.shapes:
        measure(shape, functions, options)


if __name__ == "__main__":
    main()
