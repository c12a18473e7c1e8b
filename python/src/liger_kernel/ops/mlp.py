"""A gated feed-forward block as one function: down(silu(gate(x) gate_multiplier) up(x)) down_multiplier.

Three products of torch with the gated unit between them; the backward pass keeps gate and up and computes their product
again. What is kept is 2/3 of upstream's, and 1/2 of what autograd keeps of separate layers and a gated unit.
"""

import torch
import torch.nn.functional as F

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.utils import autocast_dtype
from liger_kernel.ops.utils import gathered

_unit = operation("swiglu_forward")
_unit_backward = operation("swiglu_backward")

DTYPE_SUPPORT_LIST = (torch.float16, torch.bfloat16, torch.float32)


def get_bucket_m(M, threshold=4096, bucket_size=128):
    """The number of the bucket that M rows fall into: 32 rows each below 256, then `bucket_size`, one from
    `threshold` on. Nothing of ours is tuned by it."""
    if M < min(256, threshold):
        return M // 32
    return 256 // 32 + min(M, threshold) // bucket_size


def gemm_swiglu(input, gate_weight, up_weight, gate_multiplier, store_preact=True):
    """silu(g) u of g = gate_multiplier input gate_weight^T and u = input up_weight^T, and None for a kernel's tuning.

    With `store_preact` g and u lie behind the result, along the last dimension.
    """
    gate, up = F.linear(input, gate_weight), F.linear(input, up_weight)
    if not store_preact:
        return _unit(gate, up, float(gate_multiplier), 1.0), None
    gate = gate if gate_multiplier == 1.0 else gate * gate_multiplier
    return torch.cat([_unit(gate, up, 1.0, 1.0), gate, up], dim=-1), None


def swiglu_backward_dGU(dO, down_weight, AGU, fwd_best_config, gate_multiplier, down_multiplier):
    """Writes gradients of both products over g and u, which `gemm_swiglu` stored in AGU. The tuning is not read."""
    _, gate, up = AGU.chunk(3, dim=-1)
    dgate, dup = _unit_backward(dO @ down_weight, gate, up, 1.0, float(down_multiplier))
    gate.copy_(dgate if gate_multiplier == 1.0 else dgate * gate_multiplier)
    up.copy_(dup)


def swiglu_backward_dI(gate_weight, up_weight, AGU):
    """The gradient of the input, from what `swiglu_backward_dGU` left in AGU."""
    _, dgate, dup = AGU.chunk(3, dim=-1)
    return _sum_of_products(dgate, gate_weight, dup, up_weight)


def _sum_of_products(a, b, c, d):
    """a b + c d of rows a and c of any leading dimensions."""
    product = torch.addmm(a.flatten(0, -2) @ b, c.flatten(0, -2), d)
    return product.reshape(*a.shape[:-1], b.shape[-1])


def _checked(*tensors):
    """An input and its three weights, in autocast's type where that is on.

    Raises TypeError for types that differ or that kernels do not have, ValueError for rows that are no multiple of 16
    bytes: tensor cores take no others, and a product without them costs several times as much.
    """
    tensors = tuple(map(gathered, tensors))
    dtype = autocast_dtype(tensors[0].device.type)
    tensors = tensors if dtype is None else tuple(t.to(dtype) for t in tensors)
    types = {t.dtype for t in tensors}
    if tensors[0].dtype not in DTYPE_SUPPORT_LIST:
        raise TypeError(f"LigerMLP takes {DTYPE_SUPPORT_LIST}; found {tensors[0].dtype}")
    if len(types) != 1:
        raise TypeError(f"All tensors must share the same dtype, got {types}")
    for width in tensors[1].shape:
        if width * tensors[0].element_size() % 16:
            raise ValueError(
                f"LigerMLP takes rows of a multiple of 16 bytes; found {width} elements of {tensors[0].dtype}. Pad the "
                "layer's sizes, or use LigerSwiGLUMLP"
            )
    return tensors


class LigerMLPFunction(Function):
    """input: [..., dim]; gate_weight and up_weight: [hidden, dim]; down_weight: [dim, hidden]."""

    @staticmethod
    def forward(
        ctx, input, gate_weight, up_weight, down_weight, gate_multiplier=1.0, down_multiplier=1.0
    ):
        input, gate_weight, up_weight, down_weight = _checked(input, gate_weight, up_weight, down_weight)
        gate, up = F.linear(input, gate_weight), F.linear(input, up_weight)
        ctx.multipliers = float(gate_multiplier), float(down_multiplier)
        ctx.save_for_backward(input, gate_weight, up_weight, down_weight, gate, up)
        return F.linear(_unit(gate, up, *ctx.multipliers), down_weight)

    @staticmethod
    @first_order
    def backward(ctx, dO):
        input, gate_weight, up_weight, down_weight, gate, up = ctx.saved_tensors
        needs = ctx.needs_input_grad
        dO = gathered(dO)
        rows, drows = input.flatten(0, -2), dO.flatten(0, -2)
        ddown = drows.T @ _unit(gate, up, *ctx.multipliers).flatten(0, -2) if needs[3] else None
        if not any(needs[:3]):
            return None, None, None, ddown, None, None
        dgate, dup = _unit_backward(dO @ down_weight, gate, up, *ctx.multipliers)
        return (
            _sum_of_products(dgate, gate_weight, dup, up_weight) if needs[0] else None,
            dgate.flatten(0, -2).T @ rows if needs[1] else None,
            dup.flatten(0, -2).T @ rows if needs[2] else None,
            ddown, None, None,
        )  # fmt: skip
