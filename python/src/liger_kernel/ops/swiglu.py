"""The gated units of Llama's family: c = silu(a gate_multiplier) b down_multiplier."""

from liger_kernel._operation import eager
from liger_kernel._operation import operation
from liger_kernel.ops._ownership import note_hooks
from liger_kernel.ops._ownership import saved_pair
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.utils import gathered

_forward = operation("swiglu_forward")
_backward = operation("swiglu_backward")
_backward_over_inputs = eager("swiglu_backward_over_inputs")
_gate_up_forward = operation("swiglu_gate_up_forward")
_gate_up_backward = operation("swiglu_gate_up_backward")


def swiglu_forward(a, b, gate_multiplier=1.0):
    """The inputs as they were used, and c."""
    return a, b, _forward(a, b, float(gate_multiplier), 1.0)


def swiglu_backward(a, b, dc, gate_multiplier=1.0):
    """Gradients of a and b. Neither input is written to."""
    return _backward(dc, a, b, float(gate_multiplier), 1.0)


class LigerSiLUMulFunction(Function):
    """silu(a gate_multiplier) b down_multiplier. The backward pass writes over inputs that nobody else can see."""

    @staticmethod
    def forward(ctx, a, b, gate_multiplier=1.0, down_multiplier=1.0):
        a, b = gathered(a), gathered(b)
        ctx.multipliers = float(gate_multiplier), float(down_multiplier)
        note_hooks(ctx)
        ctx.save_for_backward(a, b)
        return _forward(a, b, *ctx.multipliers)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        a, b, are_ours = saved_pair(ctx)
        dc = gathered(dc)
        if not are_ours:
            return *_backward(dc, a, b, *ctx.multipliers), None, None
        _backward_over_inputs(dc, a, b, *ctx.multipliers)
        return a.detach(), b.detach(), None, None


def swiglu_fused_gate_up_forward(y):
    """silu(first half) times second half, over the last dimension."""
    if y.shape[-1] % 2:
        raise ValueError(f"the last dimension holds gate and up, so it must be even; found {y.shape[-1]}")
    return _gate_up_forward(y)


def swiglu_fused_gate_up_backward(y, dc, in_place=False):
    """The gradient of y; written over y where `in_place`."""
    dy = _gate_up_backward(dc, y)
    return y.copy_(dy) if in_place else dy


class LigerFusedGateUpSiLUMulFunction(Function):
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
