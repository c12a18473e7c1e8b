"""Dynamic tanh: y = gamma * tanh(alpha * x) + beta."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive

_forward = operation("dyt_forward", "x, alpha, gamma, beta?", "y")
_backward = operation("dyt_backward", "dy, x, alpha, gamma, beta?", "dx, dalpha, dgamma, dbeta", "needs_weights")


def _like(x):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@primitive(
    "(Tensor x, Tensor alpha, Tensor gamma, Tensor? beta) -> Tensor", lambda x, alpha, gamma, beta: _like(x), _forward
)
def _dyt_forward(x, alpha, gamma, beta):
    return _forward(x, alpha, gamma, beta)


def _fake_backward(dy, x, alpha, gamma, beta, needs):
    parameters = [t.new_empty(t.shape if needs else 0) for t in (alpha, gamma, gamma if beta is None else beta)]
    return _like(x), parameters[0], parameters[1], parameters[2] if beta is not None else gamma.new_empty(0)


@primitive(
    "(Tensor dy, Tensor x, Tensor alpha, Tensor gamma, Tensor? beta, bool needs_weights)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    _fake_backward,
    _backward,
)
def _dyt_backward(dy, x, alpha, gamma, beta, needs_weights):
    gradients = _backward(dy, x, alpha, gamma, beta, needs_weights)
    return tuple(gamma.new_empty(0) if gradient is None else gradient for gradient in gradients)


def liger_dyt_fwd(x, alpha, gamma, beta):
    """y."""
    return _dyt_forward(x, alpha, gamma, beta)


def liger_dyt_bwd(dy, x, alpha, gamma, beta):
    """Gradients of x, alpha, gamma and beta (None without one)."""
    out = _dyt_backward(dy, x, alpha, gamma, beta, True)
    return *out[:3], None if beta is None else out[3]


class LigerDyTFunction(Function):
    """x: [..., H], alpha: (1), gamma and beta: (H); beta may be None."""

    @staticmethod
    def forward(ctx, x, alpha, gamma, beta):
        ctx.save_for_backward(x, alpha, gamma, beta)
        return _dyt_forward(x, alpha, gamma, beta)

    @staticmethod
    @first_order
    def backward(ctx, dy):
        x, alpha, gamma, beta = ctx.saved_tensors
        needs = ctx.needs_input_grad
        out = _dyt_backward(dy, x, alpha, gamma, beta, any(needs[1:]))
        return out[0], *(g if need else None for g, need in zip(out[1:], needs[1:]))
