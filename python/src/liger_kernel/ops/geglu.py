"""The gated unit with GELU's tanh form: c = gelu(a) b."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.utils import gathered


def _like(*tensors):
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in tensors)


@primitive("(Tensor a, Tensor b) -> Tensor", lambda a, b: _like(a)[0])
def _geglu_forward(a, b):
    return call("geglu_forward", {"gate": a.contiguous(), "up": b.contiguous()})["y"]


@primitive("(Tensor a, Tensor b, Tensor dc) -> (Tensor, Tensor)", lambda a, b, dc: _like(a, b))
def _geglu_backward(a, b, dc):
    tensors = {"dy": dc.contiguous(), "gate": a.contiguous(), "up": b.contiguous()}
    out = call("geglu_backward", tensors)
    return out["dgate"], out["dup"]


def geglu_forward(a, b):
    """The inputs as they were used, and c."""
    return a, b, _geglu_forward(a, b)


def geglu_backward(a, b, dc):
    """Gradients of a and b. Neither input is written to."""
    return _geglu_backward(a, b, dc)


class LigerGELUMulFunction(torch.autograd.Function):
    """gelu(a) b with the tanh form. Inputs stay as they are, also in the backward pass."""

    @staticmethod
    def forward(ctx, a, b):
        a, b = gathered(a), gathered(b)
        ctx.save_for_backward(a, b)
        return _geglu_forward(a, b)

    @staticmethod
    @first_order
    def backward(ctx, dc):
        return _geglu_backward(*ctx.saved_tensors, gathered(dc))
