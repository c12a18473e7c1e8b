"""PolyNorm: y = w0 n(x^3) + w1 n(x^2) + w2 n(x) + b with n(u) = u / sqrt(mean(u^2) + eps), over the last dimension."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("poly_norm_forward")
_backward = operation("poly_norm_backward")


def poly_norm_forward(X, W, B, eps=1e-6):
    """y, x as rows, rstd [rows, 3], and two zeros for upstream's callers."""
    _check(W, B)
    Y, RSTD = _forward(X, W, B, float(eps))
    return Y, X.reshape(-1, X.shape[-1]), RSTD, 0, 0


def poly_norm_backward(dY, X, W, RSTD, BLOCK_SIZE=None, num_warps=None, in_place=False):
    """Gradients of x, weight and bias; the bias's has the weight's type. `in_place` changes nothing."""
    dX, dW, dB = _backward(dY, X.reshape(dY.shape), W, W[:1], RSTD)
    return dX, dW, dB.reshape(())


def _check(weight, bias):
    assert weight.shape[0] == 3, f"Weight tensor must have shape (3,); found {tuple(weight.shape)}"
    assert bias.numel() == 1, f"Bias must be a scalar; found {tuple(bias.shape)}"


class LigerPolyNormFunction(Function):
    """X: [..., H]; W: [3], for the third, second and first power; B: one number. `in_place` changes nothing."""

    @staticmethod
    def forward(ctx, X, W, B, eps=1e-6, in_place=True):
        _check(W, B)
        Y, RSTD = _forward(X, W, B, float(eps))
        ctx.save_for_backward(X, W, B, RSTD)
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        X, W, B, RSTD = ctx.saved_tensors
        needs = ctx.needs_input_grad
        dX, dW, dB = _backward(dY, X, W, B, RSTD, needs[1] or needs[2])
        return dX, dW if needs[1] else None, dB if needs[2] else None, None, None
