"""Softmax over the last dimension."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("softmax_forward")
_backward = operation("softmax_backward")


class LigerSoftmaxFunction(Function):
    """Softmax over the last dimension, in fp32; a row whose every element is -inf gives zeros."""

    @staticmethod
    def forward(ctx, input_):
        y = _forward(input_)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        return _backward(grad_output, *ctx.saved_tensors)
