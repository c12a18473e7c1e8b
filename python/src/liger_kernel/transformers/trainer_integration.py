"""The entry point that early releases of transformers' Trainer imported."""

from liger_kernel.transformers.monkey_patch import _apply_liger_kernel  # noqa: F401
