"""The squared rectifier: y = max(x, 0)^2."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive

_forward = operation("relu_squared_forward", "x", "y")
_backward = operation("relu_squared_backward", "dy, x", "dx")


def _like(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@primitive("(Tensor x) -> Tensor", _like, _forward)
def _relu_squared_forward(x):
    return _forward(x)


@primitive("(Tensor dy, Tensor x) -> Tensor", lambda dy, x: _like(x), _backward)
def _relu_squared_backward(dy, x):
    return _backward(dy, x)


def relu_squared_forward(X):
    """y."""
    return _relu_squared_forward(X)


def relu_squared_backward(X, dY):
    """The gradient of x."""
    return _relu_squared_backward(dY, X)


class LigerReLUSquaredFunction(Function):
    """max(x, 0)^2."""

    @staticmethod
    def forward(ctx, X):
        ctx.save_for_backward(X)
        return _relu_squared_forward(X)

    @staticmethod
    @first_order
    def backward(ctx, dY):
        return _relu_squared_backward(dY, *ctx.saved_tensors)
