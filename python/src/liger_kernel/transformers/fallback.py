"""What runs where a kernel does not: tensors that it does not take, and activations that it would leave out."""

from __future__ import annotations

import functools

import torch
import torch.nn as nn

from torch.nn.modules import module as torch_module

from liger_kernel.ops import utils
from liger_kernel.ops._primitive import PLAIN
from liger_kernel.ops._primitive import is_compiling

# What watches or changes what goes through a module, by the name of a module's dictionary of them.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

_TYPES = frozenset({torch.float32, torch.bfloat16, torch.float16})
_IS_NVIDIA = torch.version.hip is None
# For which of AMD's GPUs there are kernels.
_AMD_TARGETS = frozenset({"gfx90a", "gfx942", "gfx950", "gfx1100", "gfx1201"})


@functools.cache
def _has_kernels(index):
    """Whether there are kernels for one of AMD's GPUs."""
    return torch.cuda.get_device_properties(index).gcnArchName.split(":")[0] in _AMD_TARGETS


def takes(tensor) -> bool:
    """Whether kernels run on a tensor: of 32 or 16 bits, on a CPU or a GPU that has kernels, its numbers in memory."""
    return (
        tensor.dtype in _TYPES
        and (tensor.is_cpu or (tensor.is_cuda and (_IS_NVIDIA or _has_kernels(tensor.get_device()))))
        and (type(tensor) in PLAIN or has_memory(tensor))
    )


def has_memory(tensor) -> bool:
    """Whether a module's tensor is one that kernels can read, as a quantised one is not."""
    # Distributed tensors are gathered; those that torch.compile and torch.export trace with stand for plain ones.
    return hasattr(tensor, "full_tensor") or is_compiling() or utils.has_memory(tensor)


def original_forward(module: nn.Module, ours):
    """The forward of a module's class beneath `ours`; None for a class that has no other."""
    # Another package may have put ours on an instance of its own, whose class is as it was.
    forward = getattr(type(module), "_liger_original", type(module)).forward
    return None if forward is ours else forward


class Activation:
    """An activation that a gated kernel computes itself: its name, and the classes and functions that are it."""

    def __init__(self, name: str, *known: str):
        self.name, self.known = name, known
        # Classes that were found to be it, so that a forward need not look closer.
        self.types: tuple = ()

    def is_(self, activation) -> bool:
        kind = type(activation) if isinstance(activation, nn.Module) else activation
        home = getattr(kind, "__module__", None) or ""
        if getattr(kind, "__name__", None) not in self.known or not home.startswith(("torch.", "transformers.")):
            return False
        if isinstance(kind, type) and kind not in self.types:
            self.types += (kind,)
        return True


SILU = Activation("silu", "SiLU", "SiLUActivation", "SwishActivation", "silu")
GELU_TANH = Activation(
    "tanh-approximated gelu", "PytorchGELUTanh", "GELUTanh", "NewGELUActivation", "FastGELUActivation"
)


def activation_of(module: nn.Module):
    """The activation of a gated module, a module or a function; None if it has none."""
    for name in ("act_fn", "activation_fn", "act"):
        for attributes in (module._modules, module.__dict__):
            if attributes.get(name) is not None:
                return attributes[name]
    return None


def may_fuse(module: nn.Module, activation: Activation) -> bool:
    """Whether a kernel may compute a module's activation: it is that one, and nothing hangs on its being called."""
    found = module._modules.get("act_fn")
    if found is None:
        found = activation_of(module)
        if not isinstance(found, nn.Module):
            return found is None or activation.is_(found)
    return (type(found) in activation.types or activation.is_(found)) and not (
        found._forward_hooks
        or found._forward_pre_hooks
        or found._backward_hooks
        or found._backward_pre_hooks
        or "forward" in found.__dict__
        or all_are_intercepted()
    )


def all_are_intercepted() -> bool:
    """Whether somebody watches or changes what goes through every module of the process.

    torch's own `_has_any_global_hook` stays true after a hook with keywords was removed, whose mark torch keeps.
    """
    return any(getattr(torch_module, f"_global{kind}") for kind in HOOKS)
