"""Stand-ins for a model and its head, which a model's own forward is called with.

Each answers as what it stands for does, but where the loss forward steps in. Nothing of the model is changed: two
threads may be inside one model, and torch.compile traces it as one graph.
"""

from __future__ import annotations

import functools

from typing import Callable

import torch
import torch.nn as nn

from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.utils import has_memory


class ModelView:
    """A stand-in for a model: the model's attributes, with some of them answered by this object."""

    def __init__(self, model, intercepted):
        self.__dict__["_model"] = model
        self.__dict__["_intercepted"] = intercepted

    def __getattr__(self, name):
        intercepted = self.__dict__["_intercepted"]
        return intercepted[name] if name in intercepted else getattr(self.__dict__["_model"], name)

    def __setattr__(self, name, value):
        self.__dict__["_intercepted"].pop(name, None)
        setattr(self.__dict__["_model"], name, head_beneath(value))

    def __delattr__(self, name):
        self.__dict__["_intercepted"].pop(name, None)
        delattr(self.__dict__["_model"], name)


class InheritingView(ModelView):
    """The same, and `super()` and `isinstance` work in a forward of a subclass. torch.compile cannot trace it."""

    @property
    def __class__(self):
        return type(self.__dict__["_model"])


def model_view(model, intercepted: dict):
    return (ModelView if is_compiling() else InheritingView)(model, intercepted)


def is_model_view(model) -> bool:
    return issubclass(type(model), ModelView)


def type_beneath(model) -> type:
    """The model's class, also where a stand-in is given."""
    return type(model.__dict__["_model"]) if is_model_view(model) else type(model)


def head_view(head: nn.Module, defer: Callable):
    """A stand-in for a head that is the head in all but its call: that with hidden states alone is `defer(hidden)`."""
    cls = view_class(type(head))
    view = object.__new__(cls)
    view.__dict__ = head.__dict__
    # Slots are outside of the dictionary, which is the head's.
    object.__setattr__(view, "_liger_head", head)
    object.__setattr__(view, "_liger_defer", (defer, own_parameters(head)))
    return view


def head_beneath(value):
    return value._liger_head if hasattr(type(value), "_liger_head") else value


def dismiss(view) -> None:
    """Ends deferring, so that a stand-in which a forward has put somewhere is the head and no more."""
    if view is not None and hasattr(type(view), "_liger_head"):
        object.__setattr__(view, "_liger_defer", None)


@functools.lru_cache(maxsize=64)
def view_class(cls: type) -> type:
    """A head's class but for its call. An instance has the head's own dictionary, so it is one with the head."""

    def call(self, *arguments, **options):
        hidden = arguments[0] if len(arguments) == 1 and not options else None
        if self._liger_defer is None or not is_deferrable(hidden):
            return self._liger_head(*arguments, **options)
        defer, parameters = self._liger_defer
        # torch.func.functional_call lends a module other parameters for the time of a call.
        lent = any(a is not b for a, b in zip(parameters, own_parameters(self)))
        return self._liger_head(hidden) if lent else defer(hidden)

    return type(cls)(
        cls.__name__,
        (cls,),
        {
            "__slots__": ("_liger_head", "_liger_defer"),
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__doc__": cls.__doc__,
            "__call__": call,
            # Copies are of the head.
            "__reduce_ex__": lambda self, protocol: self._liger_head.__reduce_ex__(protocol),
        },
    )


def own_parameters(head: nn.Module) -> tuple:
    parameters = head.__dict__["_parameters"]
    return parameters.get("weight"), parameters.get("bias")


def is_deferrable(hidden) -> bool:
    return isinstance(hidden, torch.Tensor) and has_memory(hidden) and hidden.device.type in ("cpu", "cuda")


class PlainHead:
    """The same for forwards that are known, and for torch.compile: the head's attributes, and a call of its own."""

    def __init__(self, head, defer):
        self.__dict__["_head"], self.__dict__["_defer"] = head, defer

    def __call__(self, *arguments, **options):
        if len(arguments) != 1 or options:
            return self.__dict__["_head"](*arguments, **options)
        return self.__dict__["_defer"](arguments[0])

    def __getattr__(self, name):
        return getattr(self.__dict__["_head"], name)
