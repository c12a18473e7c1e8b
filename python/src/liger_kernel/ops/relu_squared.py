"""The squared rectifier: y = max(x, 0)^2."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("relu_squared_forward")
_backward = operation("relu_squared_backward")


def relu_squared_forward(X):
    """y."""
    return _forward(X)


def relu_squared_backward(X, dY):
    """The gradient of x."""
    return _backward(dY, X)


class LigerReLUSquaredFunction(Function):
    """max(x, 0)^2."""

    @staticmethod
    def forward(ctx, X):
        ctx.save_for_backward(X)
        return _forward(X)

    @staticmethod
    @first_order
    def backward(ctx, dY):
        return _backward(dY, *ctx.saved_tensors)
