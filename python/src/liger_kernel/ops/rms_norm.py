"""RMSNorm: y = x / sqrt(mean(x^2) + eps) * (weight + offset), over the last dimension."""

import torch

from liger_kernel._call import device_index
from liger_kernel._call import prepared
from liger_kernel._call import remember
from liger_kernel._call import stream
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered

_CASTINGS = {"llama": "llama", "gemma": "gemma", "none": "none", 0: "llama", 1: "gemma", -1: "none"}
# Prepared calls by what they depend on: found with less work than a general look-up takes.
_inference_calls = {}
_forward_calls = {}
_backward_calls = {}


def _casting(mode):
    assert mode in _CASTINGS, f"Invalid casting mode: {mode}. Give 'llama', 'gemma' or 'none'"
    return _CASTINGS[mode]


def _kind(tensor):
    """What a prepared call depends on in a contiguous tensor: everything, as a key that finds a call checks nothing."""
    return tensor is not None and (tensor.shape, tensor.dtype, tensor.get_device())


def _fake_forward(x, weight, eps, offset, casting):
    return torch.empty_like(x, memory_format=torch.contiguous_format), x.new_empty(
        x.numel() // x.shape[-1], dtype=torch.float32
    )


@primitive(
    "(Tensor x, Tensor? weight, float eps, float offset, str casting) -> (Tensor, Tensor)", _fake_forward
)
def _rms_norm_forward(x, weight, eps, offset, casting):
    """y like x, and rstd: one fp32 a row."""
    if not x.is_contiguous():
        x = x.contiguous()
    index = x.get_device()
    key = (x.shape, x.dtype, index, _kind(weight), eps, offset, casting)
    call = _forward_calls.get(key)
    if call is None:
        call = _prepare_forward(key, x, weight, eps, offset, casting)
    y = torch.empty_like(x)
    rstd = torch.empty(call.outputs[1][1], dtype=torch.float32, device=x.device)
    if weight is None:
        addresses = (x.data_ptr(), y.data_ptr(), rstd.data_ptr(), 0, 0, 0, 0, 0)
    else:
        if not weight.is_contiguous():
            weight = weight.contiguous()
        addresses = (x.data_ptr(), weight.data_ptr(), y.data_ptr(), rstd.data_ptr(), 0, 0, 0, 0)
    status = call.run(stream(index), *addresses)
    if status:
        call.recover(status, stream(index), addresses)
    return y, rstd


def _prepare_forward(key, x, weight, eps, offset, casting):
    options = {"eps": eps, "offset": offset, "casting": casting}
    weight = None if weight is None else weight.contiguous()
    call = prepared("rms_norm_forward", device_index(x), {"x": x, "weight": weight}, options)
    return remember(_forward_calls, key, call)


def _fake_backward(dy, x, weight, rstd, offset, casting, needs_weight):
    dx = torch.empty_like(x, memory_format=torch.contiguous_format)
    return dx, torch.empty_like(weight) if needs_weight and weight is not None else x.new_empty(0)


@primitive(
    "(Tensor dy, Tensor x, Tensor? weight, Tensor rstd, float offset, str casting, bool needs_weight) -> (Tensor, Tensor)",
    _fake_backward,
)
def _rms_norm_backward(dy, x, weight, rstd, offset, casting, needs_weight):
    """dx like x, and the weight's gradient: an empty tensor where it is not needed."""
    if not dy.is_contiguous():
        dy = dy.contiguous()
    if not x.is_contiguous():
        x = x.contiguous()
    index = x.get_device()
    if not rstd.is_contiguous():
        rstd = rstd.contiguous()
    key = (x.shape, x.dtype, index, _kind(weight), _kind(dy), _kind(rstd), offset, casting, needs_weight)
    call = _backward_calls.get(key)
    if call is None:
        call = _prepare_backward(key, dy, x, weight, rstd, offset, casting, needs_weight)
    dx = torch.empty_like(x)
    addresses = [dy.data_ptr(), x.data_ptr(), rstd.data_ptr()]
    if weight is not None:
        weight = weight if weight.is_contiguous() else weight.contiguous()
        addresses.append(weight.data_ptr())
    addresses.append(dx.data_ptr())
    if needs_weight and weight is not None:
        dweight = torch.empty_like(weight)
        addresses.append(dweight.data_ptr())
    else:
        dweight = x.new_empty(0)
    if call.workspace:
        workspace = torch.empty(call.workspace, dtype=torch.uint8, device=x.device)
        addresses.append(workspace.data_ptr())
    addresses += (0,) * (8 - len(addresses))
    status = call.run(stream(index), *addresses)
    if status:
        call.recover(status, stream(index), addresses)
    return dx, dweight


def _prepare_backward(key, dy, x, weight, rstd, offset, casting, needs_weight):
    if weight is not None and weight.shape != x.shape[-1:]:
        raise ValueError(
            f"rms_norm_backward: the weight must hold {x.shape[-1]} numbers, one a column of x; found shape "
            f"{tuple(weight.shape)}"
        )
    options = {"offset": offset, "casting": casting, "needs_weight": needs_weight}
    weight = None if weight is None else weight.contiguous()
    tensors = {"dy": dy, "x": x, "rstd": rstd, "weight": weight}
    call = prepared("rms_norm_backward", device_index(x), tensors, options)
    return remember(_backward_calls, key, call)


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


class LigerRMSNormFunction(torch.autograd.Function):
    """RMSNorm with upstream's argument order.

    X: [..., H], any strides; W: [H] or None. `in_place` and `row_mode` change nothing: the incoming gradient is
    never written to, and the schedule is chosen by size.
    """

    @staticmethod
    def forward(ctx, X, W, eps, offset=0.0, casting_mode="llama", in_place=True, row_mode=None):
        casting = _casting(casting_mode)
        X = gathered(X)
        Y, RSTD = _rms_norm_forward(X, W, float(eps), float(offset), casting)
        ctx.offset, ctx.casting = float(offset), casting
        ctx.save_for_backward(X, W, RSTD)
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        X, W, RSTD = ctx.saved_tensors
        needs_weight = W is not None and ctx.needs_input_grad[1]
        dX, dW = _rms_norm_backward(gathered(dY), X, W, RSTD, ctx.offset, ctx.casting, needs_weight)
        return dX, dW if needs_weight else None, None, None, None, None, None


def rms_norm(X, W, eps, offset=0.0, casting_mode="llama"):
    """RMSNorm; without autograd's cost where no gradient is wanted."""
    needs_gradient = torch.is_grad_enabled() and (X.requires_grad or (W is not None and W.requires_grad))
    if needs_gradient or is_compiling() or type(X) not in _PLAIN:
        return LigerRMSNormFunction.apply(X, W, eps, offset, casting_mode)
    if W is None or not X.is_contiguous() or not W.is_contiguous():
        return _rms_norm_forward.eager(X, W, float(eps), float(offset), _casting(casting_mode))[0]
    index = X.get_device()
    key = (X.shape, X.dtype, index, _kind(W), eps, offset, casting_mode)
    call = _inference_calls.get(key)
    if call is None:
        options = {"eps": eps, "offset": offset, "casting": _casting(casting_mode), "needs_rstd": False}
        call = prepared("rms_norm_forward", device_index(X), {"x": X, "weight": W}, options)
        remember(_inference_calls, key, call)
    y = torch.empty_like(X)
    addresses = (X.data_ptr(), W.data_ptr(), y.data_ptr(), 0, 0, 0, 0, 0)
    status = call.run(stream(index), *addresses)
    if status:
        call.recover(status, stream(index), addresses)
    return y


_PLAIN = (torch.Tensor, torch.nn.Parameter)
