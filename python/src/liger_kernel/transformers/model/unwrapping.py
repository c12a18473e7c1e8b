"""The model inside of what a user hands over: adapters, data parallelism and compilers wrap it and pass for it."""

from __future__ import annotations

from typing import Collection

import torch.nn as nn

from transformers import PreTrainedModel

HEAD = "lm_head"


def unwrapped(model, names: Collection[str]):
    """The model that a wrapper holds; the model itself where it is none, or holds several and passes for none of them.

    names: classes whose forward can be replaced. A wrapper calls its model's forward with arguments of its own, so a
    loss forward belongs on the model inside.
    """
    if is_model(model, names):
        return model
    found = outermost(model, lambda module: is_model(module, names))
    for narrower in (lambda module: is_named(module, names), lambda module: lends_head_of(model, module)):
        if len(found) > 1:
            found = [module for module in found if narrower(module)] or found
    return found[0] if len(found) == 1 else model


def is_model(module, names) -> bool:
    # Its own modules: a wrapper may answer with those of its model.
    if is_named(module, names) or HEAD in getattr(module, "__dict__", {}).get("_modules", ()):
        return True
    return issubclass(type(module), PreTrainedModel) and not lends_head_of(module)


def is_named(module, names) -> bool:
    return any(cls.__name__ in names for cls in type(module).__mro__)


def lends_head_of(wrapper, module=None) -> bool:
    """Whether a wrapper answers for the head of a module that it holds, or of any."""
    if hasattr(type(wrapper), HEAD) or not hasattr(wrapper, HEAD):
        return False
    return module is None or getattr(module, HEAD, None) is getattr(wrapper, HEAD)


def outermost(model, accepts) -> list:
    """The modules beneath a model that are accepted, without those beneath another of them, each once."""
    found, seen, waiting = [], {id(model)}, list(parts(model))
    while waiting:
        module = waiting.pop(0)
        if id(module) in seen:
            continue
        seen.add(id(module))
        if accepts(module):
            found.append(module)
            seen.update(id(inner) for inner in module.modules())
        else:
            waiting.extend(parts(module))
    return found


def parts(model):
    """What a module or another object holds: its children, unregistered modules, and the one whose methods it lends."""
    if issubclass(type(model), nn.Module):
        yield from model.children()
    held = getattr(model, "__dict__", {})
    yield from (value for value in held.values() if issubclass(type(value), nn.Module))
    owner = getattr(getattr(model, "get_input_embeddings", None), "__self__", None)
    if issubclass(type(owner), nn.Module):
        yield owner
