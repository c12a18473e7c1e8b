"""The gated units of Llama's family: c = silu(a gate_multiplier) b down_multiplier."""

import torch

from liger_kernel._call import call as run_operation
from liger_kernel._call import device_index
from liger_kernel._call import prepared
from liger_kernel._call import remember
from liger_kernel._call import run
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered


def _like(*tensors):
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in tensors)


def _options(gate, down):
    return {} if gate == 1 and down == 1 else {"gate_multiplier": gate, "down_multiplier": down}


# Prepared calls by what they depend on: found with less work than a general look-up takes.
_forward_calls = {}
_backward_calls = {}


@primitive(
    "(Tensor a, Tensor b, float gate_multiplier, float down_multiplier) -> Tensor",
    lambda a, b, gate, down: _like(a)[0],
)
def _swiglu_forward(a, b, gate_multiplier, down_multiplier):
    a, b = a.contiguous(), b.contiguous()
    index = a.get_device()
    key = (a.shape, b.shape, a.dtype, b.dtype, index, b.get_device(), gate_multiplier, down_multiplier)
    call = _forward_calls.get(key)
    if call is None:
        options = _options(gate_multiplier, down_multiplier)
        call = prepared("swiglu_forward", device_index(a), {"gate": a, "up": b}, options)
        remember(_forward_calls, key, call)
    y = torch.empty_like(a)
    run(call, index, (a.data_ptr(), b.data_ptr(), y.data_ptr()))
    return y


@primitive(
    "(Tensor a, Tensor b, Tensor dc, float gate_multiplier, float down_multiplier) -> (Tensor, Tensor)",
    lambda a, b, dc, gate, down: _like(a, b),
)
def _swiglu_backward(a, b, dc, gate_multiplier, down_multiplier):
    a, b, dc = a.contiguous(), b.contiguous(), dc.contiguous()
    index = a.get_device()
    key = (
        a.shape, b.shape, dc.shape, a.dtype, b.dtype, dc.dtype, index, b.get_device(), dc.get_device(),
        gate_multiplier, down_multiplier,
    )  # fmt: skip
    call = _backward_calls.get(key)
    if call is None:
        options = _options(gate_multiplier, down_multiplier)
        call = prepared("swiglu_backward", device_index(a), {"dy": dc, "gate": a, "up": b}, options)
        remember(_backward_calls, key, call)
    da, db = torch.empty_like(a), torch.empty_like(b)
    run(call, index, (dc.data_ptr(), a.data_ptr(), b.data_ptr(), da.data_ptr(), db.data_ptr()))
    return da, db


def swiglu_forward(a, b, gate_multiplier=1.0):
    """The inputs as they were used, and c."""
    return a, b, _swiglu_forward(a, b, float(gate_multiplier), 1.0)


def swiglu_backward(a, b, dc, gate_multiplier=1.0):
    """Gradients of a and b. Neither input is written to."""
    return _swiglu_backward(a, b, dc, float(gate_multiplier), 1.0)


class LigerSiLUMulFunction(torch.autograd.Function):
    """silu(a gate_multiplier) b down_multiplier. Inputs stay as they are, also in the backward pass."""

    @staticmethod
    def forward(ctx, a, b, gate_multiplier=1.0, down_multiplier=1.0):
        a, b = gathered(a), gathered(b)
        ctx.multipliers = float(gate_multiplier), float(down_multiplier)
        ctx.save_for_backward(a, b)
        return _swiglu_forward(a, b, *ctx.multipliers)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        a, b = ctx.saved_tensors
        return *_swiglu_backward(a, b, gathered(dc), *ctx.multipliers), None, None


@primitive(
    "(Tensor y) -> Tensor",
    lambda y: y.new_empty((*y.shape[:-1], y.shape[-1] // 2)),
)
def _swiglu_gate_up_forward(y):
    return run_operation("swiglu_gate_up_forward", {"gate_up": y.contiguous()})["y"]


@primitive("(Tensor y, Tensor dc) -> Tensor", lambda y, dc: _like(y)[0])
def _swiglu_gate_up_backward(y, dc):
    return run_operation("swiglu_gate_up_backward", {"dy": dc.contiguous(), "gate_up": y.contiguous()})["dgate_up"]


def swiglu_fused_gate_up_forward(y):
    """silu(first half) times second half, over the last dimension."""
    if y.shape[-1] % 2:
        raise ValueError(f"the last dimension holds gate and up, so it must be even; found {y.shape[-1]}")
    return _swiglu_gate_up_forward(y)


def swiglu_fused_gate_up_backward(y, dc, in_place=False):
    """The gradient of y; written over y where `in_place`."""
    dy = _swiglu_gate_up_backward(y, dc)
    return y.copy_(dy) if in_place else dy


class LigerFusedGateUpSiLUMulFunction(torch.autograd.Function):
    """As LigerSiLUMulFunction for gate and up in the halves of one tensor, [..., 2F] to [..., F]."""

    @staticmethod
    def forward(ctx, y, in_place=False):
        y = gathered(y)
        ctx.in_place, ctx.is_spent = in_place, False
        ctx.save_for_backward(y)
        return swiglu_fused_gate_up_forward(y)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        if ctx.is_spent:
            raise RuntimeError(
                "a second backward pass through a gated unit with in_place=True, whose input holds the first "
                "one's gradient. Use in_place=False"
            )
        ctx.is_spent = ctx.in_place
        (y,) = ctx.saved_tensors
        return swiglu_fused_gate_up_backward(y, gathered(dc), ctx.in_place), None
