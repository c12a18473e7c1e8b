"""The squared rectifier: y = max(x, 0)^2."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive


def _like(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@primitive("(Tensor x) -> Tensor", _like)
def _relu_squared_forward(x):
    return call("relu_squared_forward", {"x": x.contiguous()})["y"]


@primitive("(Tensor dy, Tensor x) -> Tensor", lambda dy, x: _like(x))
def _relu_squared_backward(dy, x):
    return call("relu_squared_backward", {"dy": dy.contiguous(), "x": x.contiguous()})["dx"]


def relu_squared_forward(X):
    """y."""
    return _relu_squared_forward(X)


def relu_squared_backward(X, dY):
    """The gradient of x."""
    return _relu_squared_backward(dY, X)


class LigerReLUSquaredFunction(torch.autograd.Function):
    """max(x, 0)^2."""

    @staticmethod
    def forward(ctx, X):
        ctx.save_for_backward(X)
        return _relu_squared_forward(X)

    @staticmethod
    @first_order
    def backward(ctx, dY):
        return _relu_squared_backward(dY, *ctx.saved_tensors)
