"""Neighbourhood attention: each position attends to those near it, in time and memory linear in the length."""

import math

import torch

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("neighborhood_attention_forward")
_backward = operation("neighborhood_attention_backward")
_softmax = operation("softmax_forward")


def _options(query, kernel_size, dilation, scale):
    """The window's radius, dilation and the scores' scale."""
    return kernel_size // 2, dilation, 1.0 / math.sqrt(query.shape[-1]) if scale is None else float(scale)


def fused_neighborhood_attention_forward(
    query, key, value, kernel_size=7, dilation=1, scale=None, return_lse=False
):
    """The output, all weights (B, heads, S, S) and three zeros for upstream's callers.

    The weights are for these callers alone, by a product of S^2; autograd's Function has no use for them.
    """
    if return_lse:
        raise NotImplementedError("return_lse=True is not supported yet.")
    radius, dilation, scale = _options(query, kernel_size, dilation, scale)
    output, _ = _forward(query, key, value, radius, dilation, scale)
    position = torch.arange(query.shape[-2], device=query.device)
    distance = (position - position[:, None]).abs()
    is_far = (distance % dilation != 0) | (distance > radius * dilation)
    scores = (query.float() @ key.float().transpose(-1, -2) * scale).masked_fill(is_far, -torch.inf)
    return output, _softmax(scores).to(query.dtype), (0, 0, 0)


class LigerFusedNeighborhoodAttentionFunction(Function):
    """query, key and value: (B, heads, S, D). A query attends to positions up to kernel_size // 2 steps of `dilation`
    away on each side, as far as there are."""

    @staticmethod
    def forward(ctx, query, key, value, kernel_size=7, dilation=1, scale=None):
        ctx.options = _options(query, kernel_size, dilation, scale)
        output, lse = _forward(query, key, value, *ctx.options)
        ctx.save_for_backward(query, key, value, output, lse)
        return output

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        return *_backward(grad_output, *ctx.saved_tensors, *ctx.options), None, None, None
