"""The gated unit with GELU's tanh form: c = gelu(a) b."""

from liger_kernel._operation import eager
from liger_kernel._operation import operation
from liger_kernel.ops._ownership import note_hooks
from liger_kernel.ops._ownership import saved_pair
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.utils import gathered

_forward = operation("geglu_forward")
_backward = operation("geglu_backward")
_backward_over_inputs = eager("geglu_backward_over_inputs")


def geglu_forward(a, b):
    """The inputs as they were used, and c."""
    return a, b, _forward(a, b)


def geglu_backward(a, b, dc):
    """Gradients of a and b. Neither input is written to."""
    return _backward(dc, a, b)


class LigerGELUMulFunction(Function):
    """gelu(a) b with the tanh form. The backward pass writes over inputs that nobody else can see."""

    @staticmethod
    def forward(ctx, a, b):
        a, b = gathered(a), gathered(b)
        note_hooks(ctx)
        ctx.save_for_backward(a, b)
        return _forward(a, b)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        a, b, are_ours = saved_pair(ctx)
        dc = gathered(dc)
        if not are_ours:
            return _backward(dc, a, b)
        _backward_over_inputs(dc, a, b)
        return a.detach(), b.detach()
