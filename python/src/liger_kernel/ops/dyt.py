"""Dynamic tanh: y = gamma * tanh(alpha * x) + beta."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("dyt_forward")
_backward = operation("dyt_backward")


def liger_dyt_fwd(x, alpha, gamma, beta):
    """y."""
    return _forward(x, alpha, gamma, beta)


def liger_dyt_bwd(dy, x, alpha, gamma, beta):
    """Gradients of x, alpha, gamma and beta (None without one)."""
    out = _backward(dy, x, alpha, gamma, beta, True)
    return *out[:3], None if beta is None else out[3]


class LigerDyTFunction(Function):
    """x: [..., H], alpha: (1), gamma and beta: (H); beta may be None."""

    @staticmethod
    def forward(ctx, x, alpha, gamma, beta):
        ctx.save_for_backward(x, alpha, gamma, beta)
        return _forward(x, alpha, gamma, beta)

    @staticmethod
    @first_order
    def backward(ctx, dy):
        x, alpha, gamma, beta = ctx.saved_tensors
        needs = ctx.needs_input_grad
        out = _backward(dy, x, alpha, gamma, beta, any(needs[1:]))
        return out[0], *(g if need else None for g, need in zip(out[1:], needs[1:]))
