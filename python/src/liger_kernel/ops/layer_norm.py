"""LayerNorm: y = (x - mean) / sqrt(var + eps) * weight + bias, over the last dimension."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.utils import gathered

_forward = operation("layer_norm_forward")
_backward = operation("layer_norm_backward")


def layer_norm_forward(X, W, B, eps):
    """y, x, mean, rstd, and two zeros for upstream's callers."""
    Y, mean, rstd = _forward(X, W, B, float(eps))
    return Y, X, mean, rstd, 0, 0


def layer_norm_backward(dY, X, W, B, Mean, RSTD, needs_dw=None, needs_db=None):
    """Gradients of x, weight and bias; None for a weight or bias that there is not, or whose `needs_` is False."""
    needs_dw, needs_db = W is not None and needs_dw is not False, B is not None and needs_db is not False
    dX, dW, dB = _backward(dY, X, W, Mean, RSTD, needs_dw, needs_db)
    return dX, dW if needs_dw else None, dB if needs_db else None


class LigerLayerNormFunction(Function):
    """LayerNorm with upstream's argument order. X: [..., H]; W and B: [H]."""

    @staticmethod
    def forward(ctx, X, W, B, eps):
        X = gathered(X)
        Y, mean, rstd = _forward(X, W, B, float(eps))
        ctx.save_for_backward(X, W, mean, rstd)
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        X, W, mean, rstd = ctx.saved_tensors
        needs_weight, needs_bias = ctx.needs_input_grad[1], ctx.needs_input_grad[2]
        dX, dW, dB = _backward(gathered(dY), X, W, mean, rstd, needs_weight, needs_bias)
        return dX, dW if needs_weight else None, dB if needs_bias else None, None
