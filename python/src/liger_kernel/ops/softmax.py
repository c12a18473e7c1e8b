"""Softmax over the last dimension."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive

_forward = operation("softmax_forward", "x", "y")
_backward = operation("softmax_backward", "dy, y", "dx")


def _like(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@primitive("(Tensor x) -> Tensor", _like, _forward)
def _softmax_forward(x):
    return _forward(x)


@primitive("(Tensor dy, Tensor y) -> Tensor", lambda dy, y: _like(y), _backward)
def _softmax_backward(dy, y):
    return _backward(dy, y)


class LigerSoftmaxFunction(Function):
    """Softmax over the last dimension, in fp32; a row whose every element is -inf gives zeros."""

    @staticmethod
    def forward(ctx, input_):
        y = _softmax_forward(input_)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        return _softmax_backward(grad_output, *ctx.saved_tensors)
