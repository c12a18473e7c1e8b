"""Times further operations beside their formulas in torch, eager and compiled, on one GPU.

    PYTHONPATH=FOLDER python3 Benchmarks/operations_beside_torch.py ours|upstream|torch|compile [OPERATION ...]

FOLDER holds a package `liger_kernel`, such as an unpacked wheel, of ours or of upstream. Prints a JSON object for each
operation: milliseconds of forward and backward together and of forward alone without autograd, and MiB above inputs,
gradients included; then, of some thousand elements, microseconds that the host takes for a call without autograd and
with, and for a forward and a backward pass whose end is awaited.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

from operations_of_packages import differentiable
from operations_of_packages import functional
from operations_of_packages import milliseconds
from operations_of_packages import random

CASES = {}


def case(function):
    """A case takes whether sizes are small; it gives inputs, the package's function, and the formula in torch."""
    CASES[function.__name__] = function
    return function


def normalised(x, eps=1e-6):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


@case
def sparsemax(small):
    def plain(x):
        z = x.float() - x.float().amax(-1, keepdim=True)
        ordered = z.sort(-1, descending=True).values
        sums = ordered.cumsum(-1) - 1
        count = (ordered * torch.arange(1, z.shape[-1] + 1, device=z.device) > sums).sum(-1, keepdim=True)
        return (z - sums.gather(-1, count - 1) / count).clamp_min(0).to(x.dtype)

    return [random(8, 1024) if small else random(4096, 32000)], lambda x: functional().liger_sparsemax(x, -1), plain


@case
def modulated_rms_norm(small):
    batch, length, size = (2, 8, 1024) if small else (8, 1024, 4096)

    def plain(x, w, scale, shift):
        return w * normalised(x.float()).to(x.dtype) * (1 + scale) + shift

    inputs = [random(batch, length, size), random(size), random(batch, 1, size), random(batch, 1, size)]
    return inputs, lambda *t: functional().liger_modulated_rms_norm(*t, 1e-6, 0.0, "llama", False), plain


@case
def attention_residual(small):
    *shape, size = (4, 1, 8, 1024) if small else (8, 4, 1024, 4096)

    def plain(v, query, w):
        scores = (normalised(v.float()) * w).to(v.dtype) @ query
        return (scores.float().softmax(0)[..., None] * v).sum(0).to(v.dtype)

    inputs = [random(*shape, size), random(size, scale=size**-0.5), random(size)]
    return inputs, lambda *t: functional().liger_attn_res(*t), plain


@case
def poly_norm(small):
    def plain(x, w, b):
        powers = (normalised(x.float() ** k) for k in (3, 2, 1))
        return (sum(each * part for each, part in zip(w, powers)) + b).to(x.dtype)

    inputs = [random(8, 1024) if small else random(8192, 4096), random(3), random()]
    return inputs, lambda x, w, b: functional().liger_poly_norm(x, w, b, 1e-6, False), plain


@case
def mhc_coefficients(small):
    *rows, n, size = (1, 8, 4, 256) if small else (4, 2048, 4, 2048)

    def plain(x, phi, b, pre, post, res):
        x = x.flatten(-2)
        mix = (x @ phi).float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)
        before, after, mixes = mix.split([n, n, n * n], -1)
        h = (mixes * res + b[2 * n :]).unflatten(-1, (n, n)).softmax(-1) + 1e-6
        h = h / (h.sum(-2, keepdim=True) + 1e-6)
        for _ in range(19):
            h = h / (h.sum(-1, keepdim=True) + 1e-6)
            h = h / (h.sum(-2, keepdim=True) + 1e-6)
        return torch.sigmoid(before * pre + b[:n]), torch.sigmoid(after * post + b[n : 2 * n]) * 2, h

    logits = n * (n + 2)
    inputs = [random(*rows, n, size), random(n * size, logits, scale=(n * size) ** -0.5)]
    inputs += [random(logits, dtype=torch.float32), *(random(dtype=torch.float32) for _ in range(3))]
    return inputs, lambda *t: functional().liger_mhc_coeffs(*t), plain


@case
def mhc_post_res(small):
    *rows, n, size = (1, 8, 4, 256) if small else (4, 2048, 4, 2048)

    def plain(x, f, post, res):
        return (res @ x.float() + post[..., None] * f.float()[..., None, :]).to(x.dtype)

    mixes = [random(*rows, n, dtype=torch.float32), random(*rows, n, n, dtype=torch.float32)]
    inputs = [random(*rows, n, size), random(*rows, size), *mixes]
    return inputs, lambda *t: functional().liger_mhc_post_res(*t), plain


@case
def fused_linear_kl_div(small):
    rows, size, classes = (8, 64, 1024) if small else (4096, 4096, 32000)
    target = random(rows, classes, grad=False).float().softmax(-1).to(torch.bfloat16)

    def plain(x, w):
        return F.kl_div((x @ w.T).float().log_softmax(-1), target.float(), reduction="batchmean")

    inputs = [random(rows, size), random(classes, size, scale=0.02)]
    return inputs, lambda x, w: functional().liger_fused_linear_kl_div(x, w, target), plain


@case
def ce_tvd(small):
    rows, classes = (8, 1024) if small else (4096, 32000)
    teacher, labels = random(rows, classes, grad=False), torch.randint(classes, (rows,), device="cuda")

    def plain(x):
        distance = (x.float().softmax(-1) - teacher.float().softmax(-1)).abs().sum(-1) / 2
        return F.cross_entropy(x.float(), labels, reduction="none"), distance

    def package(x):
        from liger_kernel.ops import LigerFusedCETVDFunction

        return LigerFusedCETVDFunction.apply(x, teacher, labels, -100)

    return [random(rows, classes)], package, plain


@case
def mlp(small):
    rows, size, hidden = (8, 256, 512) if small else (8192, 4096, 14336)

    def plain(x, gate, up, down):
        return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)

    def package(*tensors):
        from liger_kernel.ops.mlp import LigerMLPFunction

        return LigerMLPFunction.apply(*tensors)

    wide = [random(hidden, size, scale=size**-0.5) for _ in range(2)]
    return [random(1, rows, size), *wide, random(size, hidden, scale=hidden**-0.5)], package, plain


def microseconds(run, is_awaited=False, calls=50, seconds=0.3):
    """The least of many loops, as other processes only add to it."""
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            run()
        if is_awaited:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / calls)
    return round(min(times) * 1e6, 1)


def prepared(name, side, small):
    """The inputs, the function, and a forward and backward pass."""
    torch.manual_seed(0)
    inputs, package, plain = CASES[name](small)
    function = package if side in ("ours", "upstream") else plain
    if side == "compile":
        torch._dynamo.reset()
        function = torch.compile(plain, fullgraph=True)
    upstream = [torch.randn_like(r) for r in differentiable(function(*inputs))]

    def step():
        return torch.autograd.grad(differentiable(function(*inputs)), inputs, upstream, allow_unused=True)

    return inputs, function, step


def device_row(name, side):
    inputs, function, step = prepared(name, side, small=False)
    row = {"both": milliseconds(step)}
    with torch.no_grad():
        row["forward"] = milliseconds(lambda: function(*inputs))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return row | {"MiB": (torch.cuda.max_memory_allocated() - before) >> 20}


def host_row(name, side):
    inputs, function, step = prepared(name, side, small=True)
    with torch.no_grad():
        row = {"no_grad_us": microseconds(lambda: function(*inputs))}
    return row | {"grad_us": microseconds(lambda: function(*inputs)), "step_us": microseconds(step, True)}


def main():
    side, *names = sys.argv[1:]
    if side not in ("ours", "upstream", "torch", "compile"):
        sys.exit(f"the first argument is {side!r}; give ours, upstream, torch or compile")
    for name in names or CASES:
        try:
            row = device_row(name, side)
            torch.cuda.empty_cache()
            row |= host_row(name, side)
        except Exception as error:
            row = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps({"side": side, "operation": name, **row}), flush=True)


if __name__ == "__main__":
    main()
