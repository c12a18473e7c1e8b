"""LayerNorm: y = (x - mean) / sqrt(var + eps) * weight + bias, over the last dimension."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered

_forward = operation("layer_norm_forward", "x, weight?, bias?", "y, mean, rstd", "eps")
_backward = operation(
    "layer_norm_backward", "dy, x, weight?, mean, rstd", "dx, dweight, dbias", "needs_weight, needs_bias"
)


def _fake_forward(x, weight, bias, eps):
    row = x.new_empty(x.numel() // x.shape[-1], dtype=torch.float32)
    return torch.empty_like(x, memory_format=torch.contiguous_format), row, torch.empty_like(row)


@primitive("(Tensor x, Tensor? weight, Tensor? bias, float eps) -> (Tensor, Tensor, Tensor)", _fake_forward, _forward)
def _layer_norm_forward(x, weight, bias, eps):
    """y, and fp32 mean and rstd of each row."""
    return _forward(x, weight, bias, eps)


def _fake_backward(dy, x, weight, mean, rstd, needs_weight, needs_bias):
    def parameter(is_needed):
        like = x if weight is None else weight
        return like.new_empty(x.shape[-1] if is_needed else 0)

    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, parameter(needs_weight and weight is not None), parameter(needs_bias)


@primitive(
    "(Tensor dy, Tensor x, Tensor? weight, Tensor mean, Tensor rstd, bool needs_weight, bool needs_bias)"
    " -> (Tensor, Tensor, Tensor)",
    _fake_backward,
    _backward,
)
def _layer_norm_backward(dy, x, weight, mean, rstd, needs_weight, needs_bias):
    """dx, and the gradients of weight and bias: empty tensors where they are not needed."""
    dx, *parameters = _backward(dy, x, weight, mean, rstd, needs_weight, needs_bias)
    like = x if weight is None else weight
    return dx, *(like.new_empty(0) if gradient is None else gradient for gradient in parameters)


def layer_norm_forward(X, W, B, eps):
    """y, x, mean, rstd, and two zeros for upstream's callers."""
    Y, mean, rstd = _layer_norm_forward(X, W, B, float(eps))
    return Y, X, mean, rstd, 0, 0


def layer_norm_backward(dY, X, W, B, Mean, RSTD):
    """Gradients of x, weight and bias."""
    return _layer_norm_backward(dY, X, W, Mean, RSTD, W is not None, B is not None)


class LigerLayerNormFunction(Function):
    """LayerNorm with upstream's argument order. X: [..., H]; W and B: [H]."""

    @staticmethod
    def forward(ctx, X, W, B, eps):
        X = gathered(X)
        Y, mean, rstd = _layer_norm_forward(X, W, B, float(eps))
        ctx.save_for_backward(X, W, mean, rstd)
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        X, W, mean, rstd = ctx.saved_tensors
        needs_weight, needs_bias = ctx.needs_input_grad[1], ctx.needs_input_grad[2]
        dX, dW, dB = _layer_norm_backward(gathered(dY), X, W, mean, rstd, needs_weight, needs_bias)
        return dX, dW if needs_weight else None, dB if needs_bias else None, None
