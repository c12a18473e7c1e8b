"""Putting the function into a model."""

import functools

import torch

from liger_kernel._operation import is_tracing
from liger_kernel.recomputation.compiled import BlockFunction

_FUNCTION, _OURS = "_gradient_checkpointing_func", "_liger_recomputation"


def install(model, recomputation):
    """Switches gradient checkpointing on in a model, by `recomputation`, which it returns.

    Raises ValueError where there is none, or the model lies on several GPUs.
    """
    owners = _with_checkpointing(model)
    devices = {each.device for each in model.parameters() if each.device.type == "cuda"}
    if len(devices) > 1:
        raise ValueError(
            f"{type(model).__name__} lies on {len(devices)} GPUs, and a budget is of one. Put it on one, or shard it "
            "with FSDP, where each process has its own budget"
        )
    defaults = [_enable(owner) for owner in owners]
    found = False
    for name, module in model.named_modules():
        if _FUNCTION in module.__dict__:
            found = True
            module.__dict__[_OURS] = module.__dict__[_FUNCTION] = BlockFunction(recomputation)
        recomputation.know(module, name)
    if not found:
        raise ValueError(
            f"{type(model).__name__} checkpoints without a function that can be replaced: its class is older than "
            "transformers 4.35. Use its own gradient checkpointing"
        )
    for owner, default in zip(owners, defaults):
        for carrier in _carriers(owner):
            _remove_hook(carrier)
            carrier.register_forward_pre_hook(_Keeper(recomputation, default))
    return recomputation


def _enable(owner):
    """Switches a model's checkpointing on, and gives the options that it has where nobody says any."""
    enable = getattr(owner, "activation_checkpointing_enable", None) or owner.gradient_checkpointing_enable
    enable()
    functions = (module.__dict__.get(_FUNCTION) for module in owner.modules())
    default = next((getattr(function, "keywords", {}) for function in functions if function is not None), {})
    enable({"use_reentrant": False})
    return dict(default)


def _carriers(owner):
    """Modules that run before their blocks: those that Hugging Face gives the function, or the model itself."""
    found = [module for module in owner.modules() if _OURS in module.__dict__ and not _is_block(module)]
    return found or [owner]


def _is_block(module):
    """Whether a module is itself checkpointed, and so runs hooks too late."""
    return any(base.__name__ == "GradientCheckpointingLayer" for base in type(module).__mro__)


def _remove_hook(module):
    for number, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, _Keeper):
            del module._forward_pre_hooks[number]


class _Keeper:
    """A hook that puts recomputation by budget back where gradient checkpointing was switched off and on.

    TRL does so around each pass of a reference, and a Trainer when it begins.
    """

    def __init__(self, recomputation, default):
        self.recomputation, self.default = recomputation, default

    def __call__(self, module, inputs):
        if is_tracing() or self.recomputation.is_removed:
            return
        if isinstance(module.__dict__.get(_FUNCTION), BlockFunction):
            return
        for each in module.modules():
            found = each.__dict__.get(_FUNCTION)
            if _OURS not in each.__dict__ or isinstance(found, BlockFunction):
                continue
            if getattr(each, "gradient_checkpointing", False):
                self._check(found)
                each.__dict__[_FUNCTION] = each.__dict__[_OURS]

    def _check(self, function):
        options = getattr(function, "keywords", {})
        is_torchs = getattr(function, "func", function) is torch.utils.checkpoint.checkpoint
        if not is_torchs or options not in ({}, {"use_reentrant": False}, self.default):
            raise ValueError(
                f"gradient checkpointing was switched on with options ({_text(function)}) after recompute(), which "
                "decides itself what is kept, by its budget. Leave the options out, or call remove() of what "
                "recompute() returned"
            )


def _text(function):
    if isinstance(function, functools.partial):
        name = getattr(function.func, "__qualname__", function.func)
        return f"{name}, {', '.join(f'{key}={value}' for key, value in function.keywords.items())}"
    return getattr(function, "__qualname__", repr(function))


def _with_checkpointing(model):
    """The outermost models of transformers in a model that know gradient checkpointing."""
    found = []

    def search(module):
        if getattr(module, "supports_gradient_checkpointing", False) and hasattr(module, "config"):
            found.append(module)
        else:
            for child in module.children():
                search(child)

    if isinstance(model, torch.nn.Module):
        search(model)
    if not found:
        raise ValueError(
            f"recompute() takes the place of a Hugging Face model's gradient checkpointing, and {type(model).__name__} "
            "has none (supports_gradient_checkpointing). Give it a model of transformers, or one that contains one"
        )
    return found
