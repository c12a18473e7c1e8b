"""A residual connection and the RMSNorm after it in one pass."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.rms_norm import _casting
from liger_kernel.ops.utils import torch_to_triton_dtype  # noqa: F401  (where others look for it)

_forward = operation("fused_add_rms_norm_forward")
_backward = operation("fused_add_rms_norm_backward")


def fused_add_rms_norm_forward(X, R, W, eps, offset, casting_mode):
    """y, s, rstd, and zeros and the casting's name for upstream's callers."""
    casting = _casting(casting_mode)
    return *_forward(X, R, W, float(eps), float(offset), casting), 0, 0, 0, casting


def fused_add_rms_norm_backward(
    dY, dS_out, S, W, RSTD, offset, casting_mode, BLOCK_SIZE=None, num_warps=None, num_stages=None, in_place=False,
    needs_dw=None,
):  # fmt: skip
    """dX, dR (the same tensor's values) and dW."""
    needs = W is not None and needs_dw is not False
    dX, dW = _backward(dY, dS_out, S, W, RSTD, float(offset), _casting(casting_mode), needs)
    return dX, dX, dW if needs else None


class LigerFusedAddRMSNormFunction(Function):
    """(y, s) of x and residual: s = x + residual, y = RMSNorm(s). The incoming gradients are never written to."""

    @staticmethod
    def forward(ctx, X, R, W, eps, offset=0.0, casting_mode="llama", in_place=False):
        ctx.offset, ctx.casting = float(offset), _casting(casting_mode)
        Y, S, RSTD = _forward(X, R, W, float(eps), ctx.offset, ctx.casting)
        ctx.save_for_backward(S, W, RSTD)
        return Y, S

    @staticmethod
    @first_order
    def backward(ctx, dY, dS):
        S, W, RSTD = ctx.saved_tensors
        needs = W is not None and ctx.needs_input_grad[2]
        dX, dW = _backward(dY, dS, S, W, RSTD, ctx.offset, ctx.casting, needs)
        return dX, dX, dW if needs else None, None, None, None, None
