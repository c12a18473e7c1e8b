"""Attention residuals: for each token the sum of earlier blocks' outputs, weighted by a query's softmax over blocks."""

import torch

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("attention_residual_forward")
_backward = operation("attention_residual_backward")


def attn_res_forward(blocks, w_query, w_norm, eps=1e-6):
    """h, the blocks (N, tokens, D), their weights (tokens, N) and rstd (tokens, N); blocks may be a list."""
    blocks = torch.stack(tuple(blocks)) if isinstance(blocks, (list, tuple)) else blocks
    rows = _rows(blocks)
    h, scores, rstd, lse = _forward(rows, w_query, w_norm, float(eps))
    return h.reshape(blocks.shape[1:]), rows, (scores - lse).exp().T, rstd.T


def attn_res_backward(dh, V_3d, w_query, w_norm, Alpha=None, RSTD=None, eps=1e-6):
    """Gradients of blocks, query and norm. The weights and rstd are computed again, from the same numbers."""
    _, scores, rstd, lse = _forward(V_3d, w_query, w_norm, float(eps))
    return _backward(dh.reshape(V_3d.shape[1:]), V_3d, w_query, w_norm, scores, rstd, lse)


def _rows(blocks):
    """Blocks (N, tokens, D)."""
    return blocks.reshape(blocks.shape[0], -1, blocks.shape[-1])


class LigerAttnResFunction(Function):
    """V_stacked: (N, ..., D); w_query and w_norm: (D)."""

    @staticmethod
    def forward(ctx, V_stacked, w_query, w_norm, eps):
        rows = _rows(V_stacked)
        h, scores, rstd, lse = _forward(rows, w_query, w_norm, float(eps))
        ctx.save_for_backward(rows, w_query, w_norm, scores, rstd, lse)
        ctx.shape = V_stacked.shape
        return h.reshape(V_stacked.shape[1:])

    @staticmethod
    @first_order
    def backward(ctx, dh):
        rows, *saved = ctx.saved_tensors
        _, *needs, _ = ctx.needs_input_grad
        dV, dquery, dnorm = _backward(dh.reshape(rows.shape[1:]), rows, *saved, any(needs))
        return dV.reshape(ctx.shape), dquery if needs[0] else None, dnorm if needs[1] else None, None
