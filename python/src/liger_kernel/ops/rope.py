"""Rotary position embedding with Hugging Face's pairing: dimension i turns with dimension i + rotary_dim / 2."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive


def _fake(q, k, cos, sin, rotary_dim, inverse):
    def like(x):
        return x.new_empty((x.shape[0], x.shape[2], x.shape[1], x.shape[3])).transpose(1, 2)

    return like(q), like(k)


@primitive(
    "(Tensor q, Tensor k, Tensor cos, Tensor sin, int rotary_dim, bool inverse) -> (Tensor, Tensor)", _fake
)
def _rope(q, k, cos, sin, rotary_dim, inverse):
    """q: [B, Hq, S, D], k: [B, Hk, S, D]; cos, sin: [rows, at least rotary_dim / 2], a row a position, or one a
    token of the batch. Results lie in memory as [B, S, H, D]."""
    half, sequence = rotary_dim // 2, q.shape[2]
    out = call(
        "rope",
        {
            "q": q.transpose(1, 2).contiguous(),
            "k": k.transpose(1, 2).contiguous(),
            "cos": cos[:, :half],
            "sin": sin[:, :half],
        },
        inverse=inverse,
        per_token=cos.shape[0] != sequence,
    )
    return out["yq"].transpose(1, 2), out["yk"].transpose(1, 2)


def _table(table, batch, sequence, name):
    """cos or sin of any of the accepted shapes as rows."""
    if table.dim() == 4:
        table = table.squeeze(1) if table.shape[1] == 1 else table.squeeze(2)
    if table.dim() == 3:
        if table.shape[0] == 1 or (batch > 1 and table.stride(0) == 0):
            table = table[0]
        elif table.shape[0] == batch:
            table = table.reshape(-1, table.shape[-1])
    rows = table.shape[0] if table.dim() == 2 else None
    if rows not in (sequence, batch * sequence):
        raise ValueError(
            f"{name} has shape {tuple(table.shape)}; for a batch of {batch} sequences of {sequence} tokens it must "
            "be (S, D), (1, S, D), (B, S, D) or these with a dimension of 1 for the heads"
        )
    return table if table.stride(1) == 1 else table.contiguous()


def _tables(q, cos, sin, rotary_dim):
    batch, sequence, size = q.shape[0], q.shape[2], q.shape[3]
    width = cos.shape[-1]
    rotary_dim = min(width, size) if rotary_dim is None else rotary_dim
    if rotary_dim <= 0 or rotary_dim % 2 or rotary_dim > size or width < rotary_dim // 2:
        raise ValueError(
            f"rotary_dim is {rotary_dim}; it must be even, at most the head size {size}, and at most twice the "
            f"width {width} of cos"
        )
    return _table(cos, batch, sequence, "cos"), _table(sin, batch, sequence, "sin"), rotary_dim


def rope_forward(q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Turned q and k, then cos and sin as they were given. Inputs stay as they are."""
    turned = _rope(q, k, *_tables(q, cos, sin, rotary_dim), False)
    return *turned, cos, sin


def rope_backward(dq, dk, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Gradients of q and k."""
    return _rope(dq, dk, *_tables(dq, cos, sin, rotary_dim), True)


class LigerRopeFunction(torch.autograd.Function):
    """Turns q (B, Hq, S, D) and k (B, Hk, S, D). `position_ids` and `unsqueeze_dim` have no effect, as upstream."""

    @staticmethod
    def forward(ctx, q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
        cos, sin, ctx.rotary_dim = _tables(q, cos, sin, rotary_dim)
        ctx.save_for_backward(cos, sin)
        return _rope(q, k, cos, sin, ctx.rotary_dim, False)

    @staticmethod
    @first_order
    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors
        return *_rope(dq, dk, cos, sin, ctx.rotary_dim, True), None, None, None, None, None
