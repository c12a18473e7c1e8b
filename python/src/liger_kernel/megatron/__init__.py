"""The kernels for Megatron-Core: a patch of its own functions, and modules with its signatures.

Names are imported when they are used. Megatron itself is imported by `apply_liger_kernel_to_megatron` alone.
"""

import importlib

_HOMES = {
    "LigerMegatronCrossEntropy": "cross_entropy",
    "LigerMegatronRMSNorm": "rms_norm",
    "LigerMegatronSwiGLU": "swiglu",
    "apply_liger_kernel_to_megatron": "monkey_patch",
}
__all__ = [*_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted({*__all__, *globals()})
