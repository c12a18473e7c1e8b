"""Optimisers that take little memory: `AdamW` with 8-bit states, random rounding, and updates as gradients arrive."""

from liger_kernel.optim.adamw import AdamW

__all__ = ["AdamW"]
