"""Rotary position embedding of Llama 4 with the signatures that Hugging Face's model calls."""

import torch

from liger_kernel.ops.llama4_rope import LigerLlama4RopeFunction


def liger_llama4_text_rotary_pos_emb(xq, xk, freqs_cis):
    """Rotated q and k (B, S, H, D), by complex numbers (.., S, D / 2)."""
    return LigerLlama4RopeFunction.apply(xq, xk, freqs_cis)


def liger_llama4_vision_rotary_pos_emb(query, key, freqs_ci):
    """As for text; numbers that are not complex are multiplied as they are."""
    if not freqs_ci.is_complex():
        numbers = freqs_ci.reshape(-1, query.shape[1], 1, freqs_ci.shape[-1])
        rotated = [torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2)) * numbers for x in (query, key)]
        return tuple(torch.view_as_real(t).flatten(-2).type_as(query) for t in rotated)
    return LigerLlama4RopeFunction.apply(query, key, freqs_ci)


def apply_liger_llama4_rope_full(modeling_module):
    """Puts both functions in a module of Hugging Face's Llama 4."""
    modeling_module.apply_rotary_emb = liger_llama4_text_rotary_pos_emb
    modeling_module.vision_apply_rotary_emb = liger_llama4_vision_rotary_pos_emb
