"""Putting kernels in the place of a model's leaves: of classes, and of the modules of one model."""

from __future__ import annotations

import importlib
import inspect
import types

from typing import Optional

import torch.nn as nn

from liger_kernel.ops.utils import has_memory
from liger_kernel.transformers.families import Norm

# The submodules that an MLP kernel's forward calls.
PARTS = {
    "LigerBlockSparseTop2MLP": ("w1", "w2", "w3"),
    "LigerPhi3SwiGLUMLP": ("gate_up_proj", "down_proj"),
}
GATED = ("gate_proj", "up_proj", "down_proj")

SILU = frozenset({"SiLU", "SiLUActivation", "SwishActivation"})
GELU_TANH = frozenset({"PytorchGELUTanh", "GELUTanh", "NewGELUActivation", "FastGELUActivation"})

# Where a kernel lives, for those that do not say by their kind.
HOMES = (
    "rms_norm",
    "layer_norm",
    "swiglu",
    "geglu",
    "rope",
    "qwen2vl_mrope",
    "llama4_rope",
    "relu_squared",
    "experts",
)


def kernel(name: str):
    """A kernel of this package by its name, or None where the package has none of that name."""
    for home in HOMES:
        try:
            module = importlib.import_module(f"liger_kernel.transformers.{home}")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("liger_kernel"):
                raise
            continue
        if hasattr(module, name):
            return getattr(module, name)
    return None


def _bind_method_to_module(module, method_name: str, new_method) -> None:
    # In the instance's dictionary, where it precedes the class's method without replacing it for other instances.
    module.__dict__[method_name] = new_method.__get__(module, module.__class__)


def _rebind(module, liger_class) -> None:
    _bind_method_to_module(module, "forward", liger_class.forward)
    _bind_method_to_module(module, "extra_repr", liger_class.extra_repr)
    _bind_method_to_module(module, "_get_name", lambda self: liger_class.__name__)


def _patch_rms_norm_module(
    module, offset=0.0, eps=1e-6, casting_mode="llama", in_place=True, row_mode=None, kernel_class=None
):
    """Makes an RMSNorm module run the kernel: its weight stays, its epsilon is found under any of its names."""
    if _is_saved_module_wrapper(module):
        for inner in (*module.modules_to_save.values(), module.original_module):
            _patch_rms_norm_module(inner, offset, eps, casting_mode, in_place, row_mode, kernel_class)
        return
    from liger_kernel.transformers.rms_norm import LigerRMSNorm

    module.offset = offset
    module.casting_mode = casting_mode
    module.variance_epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None)) or eps
    module.in_place = in_place
    module.row_mode = row_mode
    module.impl = module.mode = None
    if not hasattr(module, "weight"):
        module.register_parameter("weight", None)
    module.elementwise_affine = module.weight is not None
    _rebind(module, kernel_class or LigerRMSNorm)


def _patch_layer_norm_module(module, eps=1e-6):
    """Makes an `nn.LayerNorm` over one dimension run the kernel."""
    if _is_saved_module_wrapper(module):
        for inner in (*module.modules_to_save.values(), module.original_module):
            _patch_layer_norm_module(inner, eps)
        return
    from liger_kernel.transformers.layer_norm import LigerLayerNorm

    module.variance_epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None)) or eps
    shape = module.normalized_shape if hasattr(module, "normalized_shape") else module.hidden_size
    module.hidden_size = shape[0] if isinstance(shape, tuple) and len(shape) == 1 else shape
    module.impl = module.mode = None
    _rebind(module, LigerLayerNorm)


def _patch_swiglu_module(module, liger_module):
    """Makes a gated MLP run the kernel of `liger_module`; its linear layers stay and are still called as modules."""
    _bind_method_to_module(module, "forward", liger_module.forward)
    _bind_method_to_module(module, "_get_name", lambda self: liger_module.__name__)


def _patch_geglu_module(module):
    from liger_kernel.transformers.geglu import LigerGEGLUMLP

    _patch_swiglu_module(module, LigerGEGLUMLP)


def _is_saved_module_wrapper(module) -> bool:
    return type(module).__name__ == "ModulesToSaveWrapper" and type(module).__module__.startswith("peft.")


def patch_norm(module, norm: Norm) -> Optional[str]:
    """Re-binds one RMSNorm module; returns why it cannot be, or None."""
    cls = kernel(norm.kernel)
    if cls is None:
        return f"this package has no {norm.kernel}"
    if reason := memory_refusal(module):
        return reason
    # The forward is LigerRMSNorm's for every variant; what tells them apart are the attributes.
    _patch_rms_norm_module(module, norm.offset, 1e-6, norm.casting, norm.in_place)
    return None


def memory_refusal(module) -> Optional[str]:
    """Why a kernel cannot read a module's own parameters, or None."""
    for name, parameter in module.named_parameters():
        if not hasattr(parameter, "full_tensor") and not has_memory(parameter):
            return f"its {name} is a {type(parameter).__name__}, whose values are not in its memory"
    return None


def patch_layer_norm(module) -> Optional[str]:
    inner = getattr(module, "original_module", module)
    if reason := memory_refusal(module):
        return reason
    if not inner.elementwise_affine or inner.bias is None:
        return "it has no weight or no bias"
    if len(inner.normalized_shape) != 1:
        return f"it normalises over {len(inner.normalized_shape)} dimensions"
    _patch_layer_norm_module(module)
    return None


def patch_mlp(module, name: str) -> Optional[str]:
    cls = kernel(name)
    if cls is None:
        return f"this package has no {name}"
    absent = [part for part in PARTS.get(name, GATED) if not hasattr(module, part)]
    if absent:
        return f"it has no {', '.join(absent)}"
    wanted, called = (GELU_TANH, "tanh-approximated gelu") if "GEGLU" in name else (SILU, "silu")
    found = activation_of(module)
    if found not in wanted:
        return f"its activation is {found}, the kernel's is {called}"
    _patch_swiglu_module(module, cls)
    return None


def experts_refusal(cls) -> Optional[str]:
    """Why `LigerExperts` cannot stand in for a class: before release 5 it was called, and stored, in another way."""
    if isinstance(cls, type) and "top_k_index" not in inspect.signature(cls.forward).parameters:
        return "its forward does not take top_k_index and top_k_weights"
    return None


def patch_experts(module) -> Optional[str]:
    from liger_kernel.transformers.experts import LigerExperts

    weights = [getattr(module, name, None) for name in ("gate_up_proj", "down_proj")]
    if reason := experts_refusal(type(module)):
        return reason
    if any(weight is None or not hasattr(weight, "dim") or weight.dim() != 3 for weight in weights):
        return "its weights are not gate_up_proj (E, 2I, H) and down_proj (E, H, I)"
    gate_up, down = weights
    if not gate_up.is_floating_point() or gate_up.shape[1] != 2 * down.shape[2] or gate_up.shape[2] != down.shape[1]:
        return "its weights are not gate_up_proj (E, 2I, H) and down_proj (E, H, I)"
    if reason := memory_refusal(module):
        return reason
    if getattr(module, "has_bias", False) or hasattr(module, "gate_up_proj_bias"):
        return "it has biases"
    if not getattr(module, "is_concatenated", True):
        return "its gate and up rows are interleaved"
    found = activation_of(module)
    if found not in SILU:
        return f"its activation is {found}, the kernel's is silu"
    _bind_method_to_module(module, "forward", LigerExperts.forward)
    _bind_method_to_module(module, "extra_repr", LigerExperts.extra_repr)
    _bind_method_to_module(module, "_get_name", lambda self: LigerExperts.__name__)
    return None


def new_activation(name: str):
    """The module that replaces an activation, or why there is none."""
    cls = kernel(name)
    return f"this package has no {name}" if cls is None else cls()


def activation_of(module) -> str:
    for name in ("act_fn", "activation_fn", "act"):
        activation = getattr(module, name, None)
        if activation is not None:
            return type(activation).__name__ if isinstance(activation, nn.Module) else activation.__name__
    return "unknown"


def overlay(base: types.ModuleType, **changes) -> types.ModuleType:
    """A copy of a module's names with some of them changed, to be given to one user of that module.

    transformers reaches torch through a module of its own (`nn` in a modeling file); giving that file another `nn`
    changes what it sees, and nobody else's torch.
    """
    copy = types.ModuleType(base.__name__, base.__doc__)
    copy.__dict__.update({name: value for name, value in base.__dict__.items() if name != "__getattr__"})
    copy.__dict__.update(changes)
    return copy


def torch_layer_norm():
    """`LigerLayerNorm` with the parameters of `nn.LayerNorm`; what the kernel does not cover is torch's own."""
    from liger_kernel.transformers.layer_norm import LigerLayerNorm

    class LigerTorchLayerNorm(LigerLayerNorm):
        def __new__(cls, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, **kwargs):
            single = isinstance(normalized_shape, int) or len(normalized_shape) == 1
            if single and elementwise_affine and bias and not kwargs:
                return super().__new__(cls)
            return nn.LayerNorm(normalized_shape, eps, elementwise_affine, bias, **kwargs)

        def __init__(self, normalized_shape, eps=1e-5, elementwise_affine=True, bias=True):
            size = normalized_shape if isinstance(normalized_shape, int) else normalized_shape[0]
            super().__init__(size, eps=eps)

        def _get_name(self):
            return "LigerLayerNorm"

    return LigerTorchLayerNorm
