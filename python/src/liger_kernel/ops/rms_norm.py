"""RMSNorm: y = x / sqrt(mean(x^2) + eps) * (weight + offset), over the last dimension."""

import torch

from liger_kernel._call import operation
from liger_kernel._call import contiguous_runner
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered

_CASTINGS = {"llama": "llama", "gemma": "gemma", "none": "none", 0: "llama", 1: "gemma", -1: "none"}

def _casting(mode):
    assert mode in _CASTINGS, f"Invalid casting mode: {mode}. Give 'llama', 'gemma' or 'none'"
    return _CASTINGS[mode]


_inference = operation("rms_norm_forward", "x, weight?", "y", "eps, offset, casting", needs_rstd=False)
_forward = operation("rms_norm_forward", "x, weight?", "y, rstd", "eps, offset, casting")


def _prepare_backward(name, tensors, options, outputs):
    x, weight = tensors["x"], tensors["weight"]
    if weight is not None and weight.shape != x.shape[-1:]:
        raise ValueError(
            f"rms_norm_backward: the weight must hold {x.shape[-1]} numbers, one a column of x; found shape "
            f"{tuple(weight.shape)}"
        )
    return contiguous_runner(name, tensors, options, outputs)


_backward = operation(
    "rms_norm_backward", "dy, x, weight?, rstd", "dx, dweight", "offset, casting, needs_weight", _prepare_backward
)


def _fake_forward(x, weight, eps, offset, casting):
    return torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(
        x.numel() // x.shape[-1], dtype=torch.float32
    )


@primitive(
    "(Tensor x, Tensor? weight, float eps, float offset, str casting) -> (Tensor, Tensor)", _fake_forward, _forward
)
def _rms_norm_forward(x, weight, eps, offset, casting):
    """y like x, and rstd: one fp32 a row."""
    return _forward(x, weight, eps, offset, casting)


def _fake_backward(dy, x, weight, rstd, offset, casting, needs_weight):
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, torch.empty_like(weight) if needs_weight and weight is not None else x.new_empty(0)


@primitive(
    "(Tensor dy, Tensor x, Tensor? weight, Tensor rstd, float offset, str casting, bool needs_weight)"
    " -> (Tensor, Tensor)",
    _fake_backward,
    _backward,
)
def _rms_norm_backward(dy, x, weight, rstd, offset, casting, needs_weight):
    """dx like x, and the weight's gradient: an empty tensor where it is not needed."""
    dx, dweight = _backward(dy, x, weight, rstd, offset, casting, needs_weight)
    return dx, x.new_empty(0) if dweight is None else dweight


def rms_norm_forward(X, W, eps, offset, casting_mode, row_mode=None):
    """y, x as it was normalised (contiguous), rstd, and two zeros and the casting's name for upstream's callers."""
    X = X.contiguous()
    Y, RSTD = _rms_norm_forward(X, W, float(eps), float(offset), _casting(casting_mode))
    return Y, X, RSTD, 0, 0, _casting(casting_mode)


def rms_norm_backward(
    dY, X, W, RSTD, offset, casting_mode, BLOCK_SIZE=None, num_warps=None, in_place=False, row_mode=None, needs_dw=None
):
    """dX and dW; dW is None where there is no weight or `needs_dw` is False."""
    needs_weight = W is not None and needs_dw is not False
    dX, dW = _rms_norm_backward(dY, X, W, RSTD, float(offset), _casting(casting_mode), needs_weight)
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
        Y, RSTD = _rms_norm_forward(X, W, float(eps), *options)
        ctx.save_for_backward(X, W, RSTD)
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        X, W, RSTD = ctx.saved_tensors
        needs_weight = W is not None and ctx.needs_input_grad[1]
        dX, dW = _rms_norm_backward(gathered(dY), X, W, RSTD, *ctx.options, needs_weight)
        return dX, dW if needs_weight else None, None, None, None, None, None


rms_norm = LigerRMSNormFunction.apply
