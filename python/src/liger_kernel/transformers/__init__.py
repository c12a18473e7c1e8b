"""Modules, functions and patches for Hugging Face models. Names are imported when they are used."""

import importlib
import importlib.util

_MODULES = {
    "cross_entropy": ["LigerCrossEntropyLoss"],
    "dyt": ["LigerDyT"],
    "fused_add_rms_norm": ["LigerFusedAddRMSNorm"],
    "fused_linear_cross_entropy": ["LigerFusedLinearCrossEntropyLoss"],
    "geglu": ["LigerGEGLUMLP"],
    "jsd": ["LigerJSD"],
    "kl_div": ["LigerKLDIVLoss"],
    "layer_norm": ["LigerLayerNorm"],
    "llama4_rope": ["liger_llama4_text_rotary_pos_emb", "liger_llama4_vision_rotary_pos_emb"],
    "relu_squared": ["LigerReLUSquared"],
    "rms_norm": ["LigerRMSNorm", "LigerRMSNormForMuseGlimmer", "LigerRMSNormForMuseGlimmerTextCentered"],
    "rope": ["liger_rotary_pos_emb"],
    "softmax": ["LigerSoftmax"],
    "tvd": ["LigerTVDLoss"],
    "swiglu": [
        "LigerBlockSparseTop2MLP",
        "LigerFalconH1SwiGLUMLP",
        "LigerPhi3SwiGLUMLP",
        "LigerQwen3MoeSwiGLUMLP",
        "LigerSwiGLUMLP",
        "LigerSwiGLUMLPForMuseGlimmer",
    ],
}
_MODULE_OF_NAME = {name: module for module, names in _MODULES.items() for name in names}


def is_transformers_available():
    """Whether the package transformers can be imported; it is not imported for the answer."""
    return importlib.util.find_spec("transformers") is not None


__all__ = ["is_transformers_available", *_MODULE_OF_NAME]


def __getattr__(name):
    module = _MODULE_OF_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(__all__) | set(globals()))
