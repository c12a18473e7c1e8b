"""Modules, functions and patches for Hugging Face models. Names are imported when they are used."""

import importlib
import importlib.util

from liger_kernel import _exports
from liger_kernel.transformers.families import FAMILIES

_MODULE_OF_NAME = {name: module for module, names in _exports.MODULES.items() for name in names}

# What patches models, offered where there is a transformers to patch.
_PATCHING = {
    "AutoLigerKernelForCausalLM": "auto_model",
    "_apply_liger_kernel": "monkey_patch",
    "_apply_liger_kernel_to_instance": "monkey_patch",
    **{f"apply_liger_kernel_to_{row.name}": "monkey_patch" for row in FAMILIES},
}
# Importable from here, and not part of `from liger_kernel.transformers import *`.
_UNLISTED = {
    "LigerExperts": "experts",
    "LigerRecomputeCallback": "recomputation",
    "LigerVocabParallelCrossEntropy": "vocab_parallel_cross_entropy",
    "recompute": "recomputation",
}


def is_transformers_available():
    """Whether the package transformers can be imported; it is not imported for the answer."""
    return importlib.util.find_spec("transformers") is not None


__all__ = ["is_transformers_available", *_MODULE_OF_NAME]
if is_transformers_available():
    __all__ += _PATCHING


def __getattr__(name):
    module = _MODULE_OF_NAME.get(name) or _UNLISTED.get(name) or _PATCHING.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _PATCHING and not is_transformers_available():
        raise ImportError(f"{name} patches models of transformers, which is not installed: pip install transformers")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(__all__) | set(globals()))
