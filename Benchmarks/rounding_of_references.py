"""Whether a bf16 result that differs from a reference in bf16 is the less exact one: both against float64.

    PYTHONPATH=python/src python3 Benchmarks/rounding_of_references.py [--device cuda]

The references are the formulas in torch's operations, which round each intermediate result to bf16; the kernels round
once. Printed: the error's length by the truth's, of each result and gradient.
"""

import argparse

import torch
import torch.nn.functional as F

from liger_kernel.ops import LigerGELUMulFunction
from liger_kernel.ops.rms_norm import LigerRMSNormFunction
from liger_kernel.transformers.functional import liger_modulated_rms_norm
from liger_kernel.transformers.functional import liger_rope

BF16 = torch.bfloat16


def rms_norm(x, weight):
    """As Llama's module: the norm in fp32 (float64 for float64), rounded, times the weight."""
    wide = x.double() if x.dtype == torch.float64 else x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(x.dtype) * weight


def rope(q, k, cos, sin):
    def rotated(x):
        a, b = x.chunk(2, dim=-1)
        return x * cos[:, None] + torch.cat([-b, a], dim=-1) * sin[:, None]

    return torch.cat([rotated(q), rotated(k)])


def geglu_layer(activation):
    return lambda x, gate, up, down: activation(x @ gate.T, x @ up.T) @ down.T


def cases(device):
    """By name: what is differentiated, the function of ours, the one of torch."""

    def random(*shape):
        return torch.randn(*shape, device=device).to(BF16)

    for rows, columns in ((16, 256), (32, 4096)):
        yield (
            f"RMSNorm {rows}x{columns}", (random(rows, columns), random(columns)),
            lambda x, w: LigerRMSNormFunction.apply(x, w, 1e-6, 0.0, "llama", False, None), rms_norm,
        )  # fmt: skip
    for shape in ((2, 128, 512), (5, 123, 123)):
        one = (shape[0], 1, shape[2])
        yield (
            f"modulated RMSNorm {'x'.join(map(str, shape))}",
            (random(*shape), random(shape[2]), random(*one), random(*one)),
            lambda x, w, scale, shift: liger_modulated_rms_norm(x, w, scale, shift, 1e-6, 0.0, "llama", False),
            lambda x, w, scale, shift: rms_norm(x, w) * (1 + scale) + shift,
        )
    yield (
        "GeGLU layer 512x512x1024", (random(512, 512), random(1024, 512), random(1024, 512), random(512, 1024)),
        geglu_layer(LigerGELUMulFunction.apply), geglu_layer(lambda a, b: F.gelu(a, approximate="tanh") * b),
    )  # fmt: skip
    angles = torch.rand(1, 64, 32, device=device).repeat(1, 1, 2) * 6
    cos, sin = angles.cos().to(BF16), angles.sin().to(BF16)
    yield (
        "RoPE 2x4x64x64", (random(2, 4, 64, 64), random(2, 4, 64, 64)),
        lambda q, k: torch.cat(liger_rope(q, k, cos.to(q.dtype), sin.to(q.dtype))),
        lambda q, k: rope(q, k, cos.to(q.dtype), sin.to(q.dtype)),
    )  # fmt: skip


def results(function, tensors, upstream, dtype):
    leaves = [t.to(dtype, copy=True).requires_grad_() for t in tensors]
    y = function(*leaves)
    return y, *torch.autograd.grad(y, leaves, upstream.to(dtype))


def error(found, truth):
    return ((found.double() - truth).norm() / truth.norm()).item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.manual_seed(42)
    print("| operation | result | ours | torch in bf16 |\n|---|---|---:|---:|")
    for name, tensors, ours, plain in cases(device):
        upstream = torch.randn_like(plain(*tensors))
        truth = results(plain, tensors, upstream, torch.float64)
        found, reference = results(ours, tensors, upstream, BF16), results(plain, tensors, upstream, BF16)
        for number, (a, b, exact) in enumerate(zip(found, reference, truth)):
            what = "y" if number == 0 else f"gradient {number}"
            print(f"| {name} | {what} | {error(a, exact):.2e} | {error(b, exact):.2e} |")


if __name__ == "__main__":
    main()
