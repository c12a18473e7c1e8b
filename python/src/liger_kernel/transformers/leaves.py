"""The kernels that a model's leaves run: what each asks of a module, and what it sets on one."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging

from dataclasses import dataclass
from dataclasses import replace
from typing import Callable
from typing import Optional
from typing import Tuple

import torch.nn as nn

from liger_kernel.transformers.binding import Binding
from liger_kernel.transformers.binding import bind
from liger_kernel.transformers.binding import foreign_class_forward
from liger_kernel.transformers.binding import written_class
from liger_kernel.transformers.fallback import GELU_TANH
from liger_kernel.transformers.fallback import SILU
from liger_kernel.transformers.fallback import Activation
from liger_kernel.transformers.fallback import activation_of
from liger_kernel.transformers.fallback import has_memory
from liger_kernel.transformers.fallback import takes
from liger_kernel.transformers.family import Family
from liger_kernel.transformers.renaming import renamed
from liger_kernel.transformers.renaming import uses

logger = logging.getLogger(__name__)

# The submodules that an MLP kernel's forward calls.
PARTS = {
    "LigerBlockSparseTop2MLP": ("w1", "w2", "w3"),
    "LigerPhi3SwiGLUMLP": ("gate_up_proj", "down_proj"),
}
GATED = ("gate_proj", "up_proj", "down_proj")

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


@dataclass(frozen=True)
class Leaf(Binding):
    """A module that runs the forward of one of this package's classes."""

    kernel: type

    @property
    def name(self) -> str:
        return self.kernel.__name__

    @property
    def bases(self) -> Tuple[type, ...]:
        return (self.kernel,)

    # What of the kernel's class is put before the original's.
    shown = ("forward", "extra_repr")

    def methods(self, original: type) -> dict:
        own = {name: getattr(self.kernel, name) for name in self.shown}
        return {**own, "_get_name": lambda module: self.name}

    def refusal(self, module: nn.Module) -> Optional[str]:
        for name, parameter in module._parameters.items():
            if parameter is not None and not has_memory(parameter):
                return f"its {name} keeps its numbers in a form of its own ({type(parameter).__name__})"
        return foreign_class_forward(type(module))


@dataclass(frozen=True)
class RMSNormLeaf(Leaf):
    """Its epsilon is found under any of its names."""

    offset: float = 0.0
    casting: str = "llama"
    in_place: bool = True
    row_mode: Optional[int] = None
    epsilon: float = 1e-6

    def methods(self, original: type) -> dict:
        # One name for all families, as upstream's patched instances have; what differs is in `extra_repr`.
        return {**super().methods(original), "_get_name": lambda module: "LigerRMSNorm"}

    def prepare(self, module: nn.Module) -> None:
        module.offset, module.casting_mode = self.offset, self.casting
        module.variance_epsilon = epsilon_of(module, self.epsilon)
        module.in_place, module.row_mode = self.in_place, self.row_mode
        module.impl = module.mode = None
        if not hasattr(module, "weight"):
            module.register_parameter("weight", None)
        module.elementwise_affine = module.weight is not None


@dataclass(frozen=True)
class LayerNormLeaf(Leaf):
    """An `nn.LayerNorm` over one dimension."""

    epsilon: float = 1e-6

    def refusal(self, module: nn.Module) -> Optional[str]:
        shape = getattr(module, "normalized_shape", (0,))
        if getattr(module, "weight", None) is None or getattr(module, "bias", None) is None:
            return "it has no weight or no bias"
        if isinstance(shape, tuple) and len(shape) != 1:
            return f"it normalises over {len(shape)} dimensions"
        return super().refusal(module)

    def prepare(self, module: nn.Module) -> None:
        module.variance_epsilon = epsilon_of(module, self.epsilon)
        shape = module.normalized_shape if hasattr(module, "normalized_shape") else module.hidden_size
        module.hidden_size = shape[0] if isinstance(shape, tuple) and len(shape) == 1 else shape
        module.impl = module.mode = None


def epsilon_of(module: nn.Module, default: float) -> float:
    found = (getattr(module, name, None) for name in ("variance_epsilon", "eps"))
    return next((epsilon for epsilon in found if epsilon is not None), default)


@dataclass(frozen=True)
class Gate(Leaf):
    """A gated MLP; its linear layers stay and are still called as modules."""

    shown = ("forward",)


@dataclass(frozen=True)
class GatedLeaf(Gate):
    """The same, where the module is known to be what the kernel computes."""

    def refusal(self, module: nn.Module) -> Optional[str]:
        absent = [part for part in PARTS.get(self.name, GATED) if not hasattr(module, part)]
        if absent:
            return f"it has no {', '.join(absent)}"
        wanted = GELU_TANH if "GEGLU" in self.name else SILU
        return other_activation(module, wanted) or super().refusal(module)


@dataclass(frozen=True)
class ExpertsLeaf(Leaf):
    """All experts of a layer in two weights."""

    def refusal(self, module: nn.Module) -> Optional[str]:
        weights = [getattr(module, name, None) for name in ("gate_up_proj", "down_proj")]
        if reason := experts_refusal(type(module)):
            return reason
        if not are_experts(*weights):
            return "its weights are not gate_up_proj (E, 2I, H) and down_proj (E, H, I)"
        if others := {type(weight).__name__ for weight in weights if not has_memory(weight)}:
            return f"its weights keep their numbers in a form of their own ({', '.join(others)})"
        if getattr(module, "has_bias", False) or hasattr(module, "gate_up_proj_bias"):
            return "it has biases"
        if not getattr(module, "is_concatenated", True):
            return "its gate and up rows are interleaved"
        return other_activation(module, SILU) or super().refusal(module)


def are_experts(gate_up, down) -> bool:
    if not all(getattr(weight, "ndim", 0) == 3 and weight.is_floating_point() for weight in (gate_up, down)):
        return False
    return gate_up.shape[1] == 2 * down.shape[2] and gate_up.shape[2] == down.shape[1]


def experts_refusal(cls) -> Optional[str]:
    """Why `LigerExperts` cannot stand in for a class: before release 5 it was called, and stored, in another way."""
    if isinstance(cls, type) and "top_k_index" not in inspect.signature(cls.forward).parameters:
        return "its forward does not take top_k_index and top_k_weights"
    return None


def other_activation(module: nn.Module, wanted: Activation) -> Optional[str]:
    found = activation_of(module)
    if found is not None and wanted.is_(found):
        return None
    kind = type(found) if isinstance(found, nn.Module) else found
    name = "unknown" if found is None else getattr(kind, "__name__", type(found).__name__)
    return f"its activation is {name}, the kernel's is {wanted.name}"


@dataclass(frozen=True)
class ActivationLeaf(Leaf):
    """An activation that is a module."""


@dataclass(frozen=True)
class RotaryLeaf(Binding):
    """An attention that calls other functions for its rotary embedding: (global of its file, kernel) pairs."""

    kernels: Tuple[Tuple[str, Callable], ...]

    makes_bound = False

    @property
    def name(self) -> str:
        return ", ".join(kernel.__name__ for _, kernel in self.kernels)

    def sources(self, original: type) -> tuple:
        return (original.forward,)

    def methods(self, original: type) -> dict:
        source = original.forward
        home, names = inspect.unwrap(source).__globals__, {}
        for name, kernel in self.kernels:
            names[name] = f"liger_{name}"
            home[names[name]] = with_original(kernel, home[name])
        ours = renamed(source, names)

        @functools.wraps(ours)
        def forward(module, *args, **kwargs):
            # The class may be given another forward later, which is then the one that its user wants.
            current = original.forward
            return (ours if current is source else current)(module, *args, **kwargs)

        return {"forward": forward}


def with_original(kernel: Callable, original: Callable) -> Callable:
    """A rotary embedding's kernel for what it takes, and for all else the function in whose place it stands."""
    original = getattr(original, "liger_original", original)
    if not callable(original):
        return kernel

    @functools.wraps(kernel)
    def rotary(q, k, *args, **kwargs):
        table = args[0] if args else next(iter(kwargs.values()))
        # Tables of learned frequencies have a gradient that the kernel does not give.
        if takes(q) and takes(k) and (table.is_complex() or takes(table)) and not table.requires_grad:
            return kernel(q, k, *args, **kwargs)
        return original(q, k, *args, **kwargs)

    rotary.liger_original = original
    return rotary


def leaf_named(row: Family, name: str) -> Optional[Tuple[str, Leaf]]:
    """The switch and the kernel that a family's row has for a class of this name."""
    if name in row.norms:
        norm = row.norms[name]
        return "rms_norm", RMSNormLeaf(kernel(norm.kernel), norm.offset, norm.casting, norm.in_place)
    if name in row.mlps:
        return mlp_switch(row), GatedLeaf(kernel(row.mlps[name]))
    if name in row.experts:
        return mlp_switch(row), ExpertsLeaf(kernel("LigerExperts"))
    if name == "LayerNorm" and row.layer_norms:
        return "layer_norm", LayerNormLeaf(kernel("LigerLayerNorm"))
    if name == "ReLUSquaredActivation" and row.activations:
        return next(iter(row.flags)), ActivationLeaf(kernel(row.activations["relu2"]))
    return None


def leaf_of(module: nn.Module, row: Family) -> Optional[Tuple[str, Binding]]:
    """The same for a module, which may also be an attention whose rotary embedding is replaced."""
    cls = written_class(type(module))
    if found := leaf_named(row, cls.__name__):
        switch, leaf = found
        norm = row.norms.get(cls.__name__)
        if norm and norm.weightless and getattr(module, "weight", None) is None:
            leaf = replace(leaf, kernel=kernel(norm.weightless))
        return (switch, leaf) if switch != "layer_norm" or isinstance(module, nn.LayerNorm) else None
    rotary = rotary_leaf(cls, f"transformers.models.{row.directory}.modeling_{row.directory}", row.rope)
    return rotary and ("rope", rotary)


def mlp_switch(row: Family) -> str:
    return "geglu" if "geglu" in row.flags else "swiglu"


def rotary_leaf(cls: type, home: str, names) -> Optional[RotaryLeaf]:
    """What binds an attention whose forward calls rotary embeddings of the file `home`, by these names."""
    kernels = tuple((name, kernel(names[name])) for name in names if uses(cls.forward, home, (name,)))
    return RotaryLeaf(kernels) if kernels else None


# Upstream's helpers, which other packages import.


def _bind_method_to_module(module, method_name: str, new_method) -> None:
    # In the instance's dictionary, where it precedes the class's method without replacing it for other instances.
    module.__dict__[method_name] = new_method.__get__(module, module.__class__)


def _patch_rms_norm_module(
    module, offset=0.0, eps=1e-6, casting_mode="llama", in_place=True, row_mode=None, kernel_class=None
):
    """Makes an RMSNorm module run the kernel: its weight stays, its epsilon is found under any of its names."""
    from liger_kernel.transformers.rms_norm import LigerRMSNorm

    _bind_all(module, RMSNormLeaf(kernel_class or LigerRMSNorm, offset, casting_mode, in_place, row_mode, eps))


def _patch_layer_norm_module(module, eps=1e-6):
    """Makes an `nn.LayerNorm` over one dimension run the kernel."""
    _bind_all(module, LayerNormLeaf(kernel("LigerLayerNorm"), eps))


def _patch_swiglu_module(module, liger_module):
    """Makes a gated MLP run the kernel of `liger_module`."""
    _bind_all(module, Gate(liger_module))


def _patch_geglu_module(module):
    _patch_swiglu_module(module, kernel("LigerGEGLUMLP"))


def _bind_all(module, leaf: Leaf) -> None:
    """Binds a module, or those in PEFT's wrapper of modules that it trains whole copies of."""
    inner = (*module.modules_to_save.values(), module.original_module) if is_saved_module_wrapper(module) else (module,)
    for each in inner:
        reason = bind(each, leaf)
        if reason:
            logger.warning("%s does not run %s: %s", type(each).__name__, leaf.name, reason)


def is_saved_module_wrapper(module) -> bool:
    return type(module).__name__ == "ModulesToSaveWrapper" and type(module).__module__.startswith("peft.")
