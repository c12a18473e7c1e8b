"""The gated unit with GELU's tanh form: c = gelu(a) b."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._ownership import note_hooks
from liger_kernel.ops._ownership import saved_pair
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered

_forward = operation("geglu_forward", "gate, up", "y")
_backward = operation("geglu_backward", "dy, gate, up", "dgate, dup")
_backward_over_inputs = operation("geglu_backward_over_inputs", "dy, gate, up", "")


def _like(*tensors):
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in tensors)


@primitive("(Tensor a, Tensor b) -> Tensor", lambda a, b: _like(a)[0], _forward)
def _geglu_forward(a, b):
    return _forward(a, b)


@primitive("(Tensor dc, Tensor a, Tensor b) -> (Tensor, Tensor)", lambda dc, a, b: _like(a, b), _backward)
def _geglu_backward(dc, a, b):
    return _backward(dc, a, b)


def geglu_forward(a, b):
    """The inputs as they were used, and c."""
    return a, b, _geglu_forward(a, b)


def geglu_backward(a, b, dc):
    """Gradients of a and b. Neither input is written to."""
    return _geglu_backward(dc, a, b)


class LigerGELUMulFunction(Function):
    """gelu(a) b with the tanh form. The backward pass writes over inputs that nobody else can see."""

    @staticmethod
    def forward(ctx, a, b):
        a, b = gathered(a), gathered(b)
        note_hooks(ctx)
        ctx.save_for_backward(a, b)
        return _geglu_forward(a, b)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        a, b, are_ours = saved_pair(ctx)
        dc = gathered(dc)
        if not are_ours:
            return _geglu_backward(dc, a, b)
        _backward_over_inputs(dc, a, b)
        return a.detach(), b.detach()
