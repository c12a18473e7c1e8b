"""Rotary position embedding with the signatures that Hugging Face's models call."""

from liger_kernel.ops.rope import LigerRopeFunction


def liger_rotary_pos_emb(q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Rotated q (B, Hq, S, D) and k (B, Hk, S, D).

    cos, sin: (S, rd), (1, S, rd), (B, S, rd), or with a dimension of 1 for the heads. rotary_dim: how much of a head is
    rotated; by default the tables' width, at most the head. unsqueeze_dim: 2 for q (B, S, Hq, D) and k (B, S, Hk, D)
    with tables (B, S, rd), as in transformers. `position_ids` has no effect, as upstream.
    """
    return LigerRopeFunction.apply(q, k, cos, sin, position_ids, unsqueeze_dim, rotary_dim)


def liger_rotary_pos_emb_gpt_oss(q, k, cos, sin):
    """As liger_rotary_pos_emb, for tables of half a head's width: the whole head is rotated."""
    return LigerRopeFunction.apply(q, k, cos, sin, None, 1, q.shape[-1])


def liger_rotary_pos_emb_vision(q, k, cos, sin):
    """As liger_rotary_pos_emb, for q and k (S, H, D) and tables (S, D)."""
    q4, k4 = q.transpose(0, 1).unsqueeze(0), k.transpose(0, 1).unsqueeze(0)
    yq, yk = LigerRopeFunction.apply(q4, k4, cos, sin, None, 1, None)
    return yq.squeeze(0).transpose(0, 1), yk.squeeze(0).transpose(0, 1)
