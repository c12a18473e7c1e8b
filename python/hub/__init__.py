"""Fused kernels for training language models, written in Swift, as a kernel of the Hugging Face Hub."""

from . import layers

__all__ = ["layers"]
