"""Matrices in 8-bit floats with scales, and their products."""

from typing import NamedTuple

import torch

from liger_kernel._operation import operation

_quantise = operation("fp8_quantise")

TYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}


class Factor(NamedTuple):
    """A factor of products that sum over its columns: [rows, columns] in 8 bits, and fp32 scales, [1] or [rows, 1]."""

    values: torch.Tensor
    scale: torch.Tensor


def factors(x, kind, scaling, rows, columns):
    """A matrix as a factor, and its transposed matrix as one; each where it is asked for, else None.

    x: [rows, columns], both multiples of 16. kind: "e4m3" or "e5m2". scaling: "tensor" or "row".
    """
    y, scale, row_scale, transposed, column_scale = _quantise(x.contiguous(), kind, scaling, rows, columns)
    if scaling == "row":
        scales = row_scale.unsqueeze(1) if rows else None, column_scale.unsqueeze(1) if columns else None
    else:
        scales = scale, scale
    kind = TYPES[kind]
    return (
        Factor(y.view(kind), scales[0]) if rows else None,
        Factor(transposed.view(kind), scales[1]) if columns else None,
    )


def product(a, b, dtype, emulate, is_fast=False):
    """a b^T, of `dtype`: [rows of a, rows of b].

    is_fast: whether the tensor cores may sum in fewer bits.
    """
    if emulate:
        sums = a.values.float() @ b.values.float().t()
        return (sums * a.scale * b.scale.reshape(1, -1)).to(dtype)
    # By row there are kernels for bf16 results only.
    made = dtype if a.scale.numel() == 1 and b.scale.numel() == 1 and a.scale.dim() == 1 else torch.bfloat16
    result = torch._scaled_mm(
        a.values, b.values.t(), scale_a=a.scale, scale_b=b.scale if b.scale.dim() == 1 else b.scale.t(),
        out_dtype=made, use_fast_accum=is_fast,
    )  # fmt: skip
    return result.to(dtype)
