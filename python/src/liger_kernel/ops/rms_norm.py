"""RMSNorm: y = x / sqrt(mean(x^2) + eps) * (weight + offset), over the last dimension."""

from liger_kernel._operation import eager
from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.utils import gathered
from liger_kernel.ops.utils import torch_to_triton_dtype  # noqa: F401  (where others look for it)

_CASTINGS = {"llama": "llama", "gemma": "gemma", "none": "none", 0: "llama", 1: "gemma", -1: "none"}


def _casting(mode):
    assert mode in _CASTINGS, f"Invalid casting mode: {mode}. Give 'llama', 'gemma' or 'none'"
    return _CASTINGS[mode]


_inference = eager("rms_norm_forward", needs_rstd=False)
_forward = operation("rms_norm_forward")
_backward = operation("rms_norm_backward")


def rms_norm_forward(X, W, eps, offset, casting_mode, row_mode=None):
    """y, x as it was normalised (contiguous), rstd, and two zeros and the casting's name for upstream's callers."""
    X = X.contiguous()
    Y, RSTD = _forward(X, W, float(eps), float(offset), _casting(casting_mode))
    return Y, X, RSTD, 0, 0, _casting(casting_mode)


def rms_norm_backward(
    dY, X, W, RSTD, offset, casting_mode, BLOCK_SIZE=None, num_warps=None, in_place=False, row_mode=None, needs_dw=None
):
    """dX and dW; dW is None where there is no weight or `needs_dw` is False."""
    needs_weight = W is not None and needs_dw is not False
    dX, dW = _backward(dY, X, W, RSTD, float(offset), _casting(casting_mode), needs_weight)
    return dX, dW if needs_weight else None


class LigerRMSNormFunction(Function):
    """RMSNorm with upstream's argument order.

    X: [..., H], any strides; W: [H] or None. `in_place` and `row_mode` change nothing: the incoming gradient is
    never written to, and the schedule is chosen by size.
    """

    @staticmethod
    def inference(X, W, eps, offset=0.0, casting_mode="llama", in_place=True, row_mode=None):
        casting = _CASTINGS.get(casting_mode) or _casting(casting_mode)
        return _inference(X, W, float(eps), float(offset), casting)

    @staticmethod
    def forward(ctx, X, W, eps, offset=0.0, casting_mode="llama", in_place=True, row_mode=None):
        X = gathered(X)
        ctx.options = options = float(offset), _CASTINGS.get(casting_mode) or _casting(casting_mode)
        Y, RSTD = _forward(X, W, float(eps), *options)
        ctx.save_for_backward(X, W, RSTD)
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        X, W, RSTD = ctx.saved_tensors
        needs_weight = W is not None and ctx.needs_input_grad[1]
        dX, dW = _backward(gathered(dY), X, W, RSTD, *ctx.options, needs_weight)
        return dX, dW if needs_weight else None, None, None, None, None, None


rms_norm = LigerRMSNormFunction.apply
