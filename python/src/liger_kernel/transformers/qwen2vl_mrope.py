"""Multimodal rotary position embedding with the signature that Hugging Face's models call."""

from liger_kernel.ops.qwen2vl_mrope import LigerQwen2VLMRopeFunction


def liger_multimodal_rotary_pos_emb(q, k, cos, sin, mrope_section, unsqueeze_dim=1):
    """Rotated q (B, Hq, S, D) and k (B, Hk, S, D); cos and sin: (3, B, S, D), `mrope_section` pairs of each plane."""
    return LigerQwen2VLMRopeFunction.apply(q, k, cos, sin, mrope_section, unsqueeze_dim)
