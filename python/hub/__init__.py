"""Fused kernels for training language models, written in Swift, as a kernel of the Hugging Face Hub."""

from . import layers
from .layers import LigerForCausalLMLoss
from .layers import liger_rotary_pos_emb

__all__ = ["LigerForCausalLMLoss", "layers", "liger_rotary_pos_emb"]
