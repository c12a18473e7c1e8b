"""Multimodal rotary position embedding: sections of a head turn by a token's time, height and width."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.rope import learned

_rotate = operation("multimodal_rope")


def _multimodal_rope(q, k, cos, sin, sections, inverse, heads_last=False):
    """q: [B, Hq, S, D], k: [B, Hk, S, D], or [B, S, H, D]; cos, sin: [3, B or 1, S, D]. Results lie as [B, S, H, D]."""
    if heads_last:
        return _rotate(q, k, cos, sin, sections, inverse)
    q, k = _rotate(q.transpose(1, 2), k.transpose(1, 2), cos, sin, sections, inverse)
    return q.transpose(1, 2), k.transpose(1, 2)


def _check(cos, sections):
    if len(sections) != cos.shape[0]:
        raise ValueError(f"mrope_section {list(sections)} needs as many planes of cos, which has {cos.shape[0]}")


def qwen2vl_mrope_forward(q, k, cos, sin, mrope_section):
    """Rotated q and k, then cos and sin as they were given."""
    _check(cos, mrope_section)
    return *_multimodal_rope(q, k, cos, sin, tuple(mrope_section), False), cos, sin


def qwen2vl_mrope_backward(dq, dk, cos, sin, mrope_section):
    """Gradients of q and k."""
    return _multimodal_rope(dq, dk, cos, sin, tuple(mrope_section), True)


class LigerQwen2VLMRopeFunction(Function):
    """Rotates q (B, Hq, S, D) and k (B, Hk, S, D) by cos and sin (3, B, S, D).

    unsqueeze_dim: 2 for q (B, S, Hq, D) and k (B, S, Hk, D), as in transformers.
    """

    @staticmethod
    def forward(ctx, q, k, cos, sin, mrope_section, unsqueeze_dim=1):
        _check(cos, mrope_section)
        if any(ctx.needs_input_grad[2:4]):
            raise learned("cos and sin")
        ctx.options = tuple(mrope_section), unsqueeze_dim in (2, -2)
        ctx.save_for_backward(cos, sin)
        sections, heads_last = ctx.options
        return _multimodal_rope(q, k, cos, sin, sections, False, heads_last)

    @staticmethod
    @first_order
    def backward(ctx, dq, dk):
        sections, heads_last = ctx.options
        return *_multimodal_rope(dq, dk, *ctx.saved_tensors, sections, True, heads_last), None, None, None, None
