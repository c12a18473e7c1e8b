"""Times operations of several installations of liger_kernel, each in a process of its own, on one GPU.

    python3 Benchmarks/operations_of_packages.py ours=FOLDER upstream=FOLDER [--only WORD ...]

FOLDER holds a package `liger_kernel`, such as an unpacked wheel. Printed: milliseconds of forward and backward together
and of forward alone, medians of 7 times 3 runs, and MiB above inputs and gradients.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

from types import SimpleNamespace

import torch

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def random(*shape, dtype=torch.bfloat16, scale=1.0, grad=True):
    return (scale * torch.randn(shape, device="cuda")).to(dtype).requires_grad_(grad)


def functional():
    from liger_kernel.transformers import functional

    return functional


@case
def sparsemax_4096x32000():
    x = random(4096, 32000)
    return lambda: functional().liger_sparsemax(x, -1), [x]


@case
def poly_norm_8192x4096():
    x, w, b = random(8192, 4096), random(3), random()
    return lambda: functional().liger_poly_norm(x, w, b, 1e-6, False), [x, w, b]


@case
def modulated_rms_norm_8x1024x4096():
    tensors = [random(8, 1024, 4096), random(4096), random(8, 1, 4096), random(8, 1, 4096)]
    return lambda: functional().liger_modulated_rms_norm(*tensors, 1e-6, 0.0, "llama", False), tensors


@case
def attn_res_8x4x1024x4096():
    tensors = [random(8, 4, 1024, 4096), random(4096), random(4096)]
    return lambda: functional().liger_attn_res(*tensors), tensors


@case
def scaled_ce_4096x4096x128256():
    from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction

    x, w = random(4096, 4096), random(128256, 4096, scale=0.02)
    ids = torch.randint(128256, (4096,), device="cuda")
    return lambda: LigerFusedLinearScaledCrossEntropyFunction.apply(x, w, ids, 0.9), [x, w]


@case
def fused_linear_jsd_4096x4096x128256():
    student = [random(4096, 4096), random(128256, 4096, scale=0.02)]
    teacher = [random(4096, 4096, grad=False), random(128256, 4096, scale=0.02, grad=False)]
    labels = torch.randint(128256, (4096,), device="cuda")
    return lambda: functional().liger_fused_linear_jsd(*student, *teacher, labels), student


@case
def fused_linear_kl_div_4096x4096x32000():
    student = [random(4096, 4096), random(32000, 4096, scale=0.02)]
    target = random(4096, 32000, grad=False).float().softmax(-1).to(torch.bfloat16)
    return lambda: functional().liger_fused_linear_kl_div(*student, target), student


@case
def mhc_coefficients_4x2048x4x2048():
    scalars = [random(dtype=torch.float32) for _ in range(3)]
    tensors = [random(4, 2048, 4, 2048), random(4 * 2048, 24), random(24, dtype=torch.float32), *scalars]
    return lambda: functional().liger_mhc_coeffs(*tensors), tensors


@case
def mhc_post_res_4x2048x4x2048():
    mixes = [random(4, 2048, 4, dtype=torch.float32), random(4, 2048, 4, 4, dtype=torch.float32)]
    tensors = [random(4, 2048, 4, 2048), random(4, 2048, 2048), *mixes]
    return lambda: functional().liger_mhc_post_res(*tensors), tensors


@case
def multi_token_attention_2x8x1024():
    tensors = [random(2, 8, 1024, 1024), random(8, 8, 3, 3, scale=0.1)]
    return lambda: functional().liger_multi_token_attention(*tensors, None, 1, 1), tensors


@case
def neighborhood_attention_4x8x1024x64():
    tensors = [random(4, 8, 1024, 64) for _ in range(3)]
    return lambda: functional().liger_fused_neighborhood_attention(*tensors, 7), tensors


@case
def mlp_8192x4096x14336():
    from liger_kernel.transformers import LigerMLP

    sizes = SimpleNamespace(hidden_size=4096, intermediate_size=14336, hidden_act="silu", mlp_bias=False)
    module, x = LigerMLP(sizes).to("cuda", torch.bfloat16), random(1, 8192, 4096)
    return lambda: module(x), [x, *module.parameters()]


def differentiable(results):
    results = results if isinstance(results, tuple) else (results,)
    return [r for r in results if torch.is_tensor(r) and r.requires_grad]


def milliseconds(run, rounds=7, runs=3):
    for _ in range(3):
        run()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(runs):
            run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / runs)
    return statistics.median(times)


def measure(name):
    torch.manual_seed(0)
    function, tensors = CASES[name]()
    leaves = [t for t in tensors if t.requires_grad]
    upstream = [torch.randn_like(r) for r in differentiable(function())]

    def step():
        return torch.autograd.grad(differentiable(function()), leaves, upstream, allow_unused=True)

    both, forward = milliseconds(step), milliseconds(function)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    gradients = step()
    kept = sum(g.nbytes for g in gradients if g is not None)
    memory = (torch.cuda.max_memory_allocated() - before - kept) / 2**20
    return {"both": round(both, 3), "forward": round(forward, 3), "MiB": round(memory)}


def child():
    for name in sys.argv[2:]:
        try:
            found = measure(name)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:120]}
        print(json.dumps({"case": name, **found}), flush=True)
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD", help="cases whose name has one of these")
    given = parser.parse_args()
    names = [name for name in CASES if any(word in name for word in given.only)]
    found = {}
    for label, folder in (package.split("=", 1) for package in given.packages):
        process = subprocess.run(
            [sys.executable, __file__, "--child", *names], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": folder},
        )  # fmt: skip
        found[label] = {row.pop("case"): row for row in map(json.loads, process.stdout.splitlines())}
    print("| operation | " + " | ".join(found) + " |\n|---|" + "---|" * len(found))
    for name in names:
        cells = [found[label].get(name, {"error": "not run"}) for label in found]
        texts = [c.get("error") or f"{c['both']} ({c['forward']}), {c['MiB']} MiB" for c in cells]
        print(f"| {name} | " + " | ".join(texts) + " |")


if __name__ == "__main__":
    child() if sys.argv[1:2] == ["--child"] else main()
