"""Modules, functions and patches for Hugging Face models. Names are imported when they are used."""

import importlib
import importlib.util

from liger_kernel import _exports

_MODULE_OF_NAME = {name: module for module, names in _exports.MODULES.items() for name in names}

# What patches models, offered where there is a transformers to patch.
_FAMILIES = (
    "falcon_h1 gemma gemma2 gemma3 gemma3_text gemma4 gemma4_text glm4 glm4v glm4v_moe gpt_oss granite internvl llama "
    "llava llama4 ministral mistral mixtral muse_glimmer nemotron mllama olmo2 olmo3 paligemma phi3 pixtral qwen2 "
    "qwen2_5_vl qwen2_vl qwen3 qwen3_moe qwen3_5 qwen3_5_moe qwen3_next qwen3_vl qwen3_vl_moe smollm3 smolvlm "
    "hunyuan_v1_dense hunyuan_v1_moe deepseek_v2 deepseek_v3 deepseek_v4 exaone4"
).split()
_PATCHING = {
    "AutoLigerKernelForCausalLM": "auto_model",
    "_apply_liger_kernel": "monkey_patch",
    "_apply_liger_kernel_to_instance": "monkey_patch",
    **{f"apply_liger_kernel_to_{family}": "monkey_patch" for family in _FAMILIES},
}
# Importable from here, and not part of `from liger_kernel.transformers import *`.
_UNLISTED = {"LigerExperts": "experts"}


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
