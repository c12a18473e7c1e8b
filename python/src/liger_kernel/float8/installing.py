"""Which layers of a model multiply in 8-bit floats."""

from dataclasses import dataclass

import torch

from liger_kernel import _versions
from liger_kernel.float8.linear import Float8Linear
from liger_kernel.float8.products import TYPES

_SCALINGS = ("tensor", "row")
# Names of layers that choose experts: a small error there changes the choice.
_ROUTERS = ("gate", "router")


@dataclass(frozen=True)
class Float8Receipt:
    """Names of the layers that multiply in 8 bits, and of those that do not, with the reason."""

    converted: tuple
    kept: dict

    def __str__(self):
        reasons = {}
        for reason in self.kept.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        kept = "".join(f"; {count} stay: {reason}" for reason, count in reasons.items())
        return f"{len(self.converted)} linear layers multiply in 8-bit floats{kept}"


def install(model, scaling, gradients, head, skip, emulate):
    """As `liger_kernel.float8.fp8` says."""
    if scaling not in _SCALINGS:
        raise ValueError(f"scaling is {scaling!r}. Give one of {', '.join(_SCALINGS)}")
    if gradients is None:
        gradients = "e5m2" if scaling == "tensor" else "e4m3"
    if gradients not in TYPES:
        raise ValueError(f"gradients is {gradients!r}. Give one of {', '.join(TYPES)}, or None")
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    heads = [] if head else _heads(model)
    converted, kept = [], {}
    for name, module in model.named_modules():
        if type(module) not in (torch.nn.Linear, Float8Linear):
            continue
        reason = _reason(name, module, heads, skip)
        if reason is None:
            converted.append((name, module))
        else:
            kept[name] = reason
    if not converted:
        found = "; ".join(f"{name}: {reason}" for name, reason in kept.items()) or "it has none"
        raise ValueError(f"no linear layer of this {type(model).__name__} can multiply in 8-bit floats ({found})")
    for name, module in converted:
        _check(name, module, emulate)
    for name, module in converted:
        module.__class__, module._float8 = Float8Linear, (scaling, gradients, bool(emulate))
    return Float8Receipt(tuple(name for name, _ in converted), kept)


def _heads(model):
    """The layers that make logits, of the model and of models in it."""
    found = [getattr(m, "get_output_embeddings", lambda: None) for m in model.modules()]
    heads = []
    for get in found:
        try:
            heads.append(get())
        except (AttributeError, NotImplementedError):
            continue
    return [head for head in heads if head is not None]


def _reason(name, module, heads, skip):
    """Why a layer stays as it is; None if it does not."""
    if any(module is head for head in heads):
        return "the head, unless head=True"
    if any(part in name for part in skip):
        return "skipped by name"
    if "lora_" in name:
        return "a factor of LoRA"
    if name.rpartition(".")[2] in _ROUTERS:
        return "a router"
    if module.in_features % 16 or module.out_features % 16:
        return "a size is no multiple of 16"
    if module.weight.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"weights of {str(module.weight.dtype).removeprefix('torch.')}"
    return None


def _check(name, module, emulate):
    """Raises for a layer that cannot be converted where it should be."""
    if "forward" in module.__dict__:
        raise ValueError(
            f"the layer {name} has a forward method of its own, as hooks of accelerate give it. Call fp8 before them, "
            f"or leave it out by skip={name!r}"
        )
    if emulate:
        return
    device = module.weight.device
    if device.type == "meta":
        raise NotImplementedError("8-bit products depend on the device. Load the model's weights first")
    if device.type != "cuda" or torch.version.hip is not None:
        raise NotImplementedError(
            f"8-bit products need an NVIDIA GPU of compute capability 8.9 or later; the layer {name} is on "
            f"'{device}'. Move the model first, or give emulate=True for a test"
        )
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 9):
        raise NotImplementedError(
            f"8-bit products need compute capability 8.9 or later; {torch.cuda.get_device_name(device)} has "
            f"{capability[0]}.{capability[1]}. Leave fp8 out"
        )
    if _versions.is_before("2.5", torch.__version__):
        raise NotImplementedError(f"8-bit products need torch 2.5 or later; found {torch.__version__}. Upgrade it")
