"""Sparsemax: the nearest distribution, which is 0 where x is well below its maximum."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("sparsemax_forward")
_backward = operation("sparsemax_backward")


class LigerSparsemaxFunction(Function):
    """Sparsemax of x over a dimension, in fp32; a row whose every element is -inf gives zeros."""

    @staticmethod
    def forward(ctx, x, dim):
        y = _forward(x.transpose(dim, -1))
        ctx.dim = dim
        ctx.save_for_backward(y)
        return y.transpose(dim, -1)

    @staticmethod
    @first_order
    def backward(ctx, grad_out):
        return _backward(grad_out.transpose(ctx.dim, -1), *ctx.saved_tensors).transpose(ctx.dim, -1), None
