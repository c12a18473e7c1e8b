"""Attention residuals as a function."""

import torch

from liger_kernel.ops.attn_res import LigerAttnResFunction


def liger_attn_res(V, w_query, w_norm, eps=1e-6):
    """The blocks' sum (..., D), weighted by softmax over blocks of query . RMSNorm(block); V: (N, ..., D) or a list."""
    V = torch.stack(tuple(V)) if isinstance(V, (list, tuple)) else V
    return LigerAttnResFunction.apply(V, w_query, w_norm, eps)
