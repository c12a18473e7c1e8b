"""Putting the function into a model."""

import torch

from liger_kernel.recomputation.compiled import BlockFunction


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
    for owner in owners:
        enable = getattr(owner, "activation_checkpointing_enable", None) or owner.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    found = False
    for name, module in model.named_modules():
        if "_gradient_checkpointing_func" in module.__dict__:
            module._gradient_checkpointing_func, found = BlockFunction(recomputation), True
        recomputation.know(module, name)
    if not found:
        raise ValueError(
            f"{type(model).__name__} checkpoints without a function that can be replaced: its class is older than "
            "transformers 4.35. Use its own gradient checkpointing"
        )
    return recomputation


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
