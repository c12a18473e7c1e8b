"""The gated unit with GELU's tanh form: c = gelu(a) b."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered

_forward = operation("geglu_forward", "gate, up", "y")
_backward = operation("geglu_backward", "dy, gate, up", "dgate, dup")


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
    """gelu(a) b with the tanh form. Inputs stay as they are, also in the backward pass."""

    @staticmethod
    def forward(ctx, a, b):
        a, b = gathered(a), gathered(b)
        ctx.save_for_backward(a, b)
        return _geglu_forward(a, b)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        return _geglu_backward(gathered(dc), *ctx.saved_tensors)
