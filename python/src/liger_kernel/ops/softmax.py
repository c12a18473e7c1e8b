"""Softmax over the last dimension."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive


def _like(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@primitive("(Tensor x) -> Tensor", _like)
def _softmax_forward(x):
    return call("softmax_forward", {"x": x.contiguous()})["y"]


@primitive("(Tensor dy, Tensor y) -> Tensor", lambda dy, y: _like(y))
def _softmax_backward(dy, y):
    return call("softmax_backward", {"dy": dy.contiguous(), "y": y.contiguous()})["dx"]


class LigerSoftmaxFunction(torch.autograd.Function):
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
