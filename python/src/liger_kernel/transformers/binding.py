"""Giving one module another forward: its class becomes a subclass, made once for each class and kernel.

A forward that is stored in the instance's dictionary, bound to it, does not survive what else a module goes through.
pickle finds the method by its name on the class and drops ours; copies made by `DataParallel` and `copy.copy` share the
dictionary, and run the original's weights; and each is a cycle that keeps a deleted model's memory until the garbage
collector comes by. A class has none of this: an instance's methods belong there. So a bound module's class

* has the name, the module and the qualified name of the class it was made from, which wrap policies, weight decay and
  initialisation go by, and to `isinstance` it is that class: whatever is an instance of the one is one of the other;
* is a subclass of the kernel's class too, without running its constructor;
* is pickled by the class it was made from and the binding, and so can be made again in a process that has neither.

Where the instance already has a forward of somebody else (the user's, a compiled one) the module is left alone.
accelerate's hooks keep the forward that they wrap in `_old_forward`: that one is replaced, inside the hook.
"""

from __future__ import annotations

import copyreg
import functools
import logging
import sys
import types

from dataclasses import dataclass
from typing import Callable
from typing import Dict
from typing import Optional
from typing import Tuple

import torch.nn as nn

from liger_kernel.transformers.model import lce

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Binding:
    """What a module is given. A value: two that are equal make one class, and pickle takes them along."""

    @property
    def name(self) -> str:
        """The kernel's name, for receipts."""
        raise NotImplementedError

    @property
    def bases(self) -> Tuple[type, ...]:
        """Classes of this package that the bound class is a subclass of."""
        return ()

    def methods(self, original: type) -> Dict[str, Callable]:
        """What the bound class has of its own."""
        raise NotImplementedError

    def sources(self, original: type) -> Tuple[Callable, ...]:
        """Functions of the class that `methods` were made from: with others, another class is made."""
        return ()

    def refusal(self, module: nn.Module) -> Optional[str]:
        """Why a module cannot be bound."""
        return None

    def prepare(self, module: nn.Module) -> None:
        """Sets the attributes that the methods read."""

    # Whether what a bound class is called to make is bound too, as it is where the class stands in a modeling file.
    makes_bound = True


class BoundType(type):
    """The class of bound classes."""

    def __instancecheck__(cls, instance) -> bool:
        return super().__instancecheck__(instance) or isinstance(instance, cls.__dict__.get("_liger_original", ()))


class _PlainConstructor(nn.Module):
    """Stands before the kernel's class, so that `super().__init__()` of the original class does not reach it."""

    def __init__(self, *args, **kwargs):
        nn.Module.__init__(self, *args, **kwargs)


def bound_class(original: type, binding: Binding) -> type:
    return _bound_class(original, binding, binding.sources(original))


@functools.cache
def _bound_class(original: type, binding: Binding, sources) -> type:
    def __init__(self, *args, **kwargs):
        super(bound, self).__init__(*args, **kwargs)
        _finish(self, bound)

    names = {
        "__init__": functools.wraps(original.__init__)(__init__),
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "_liger_original": original,
        "_liger_binding": binding,
        **binding.methods(original),
    }
    kernels = [base for base in binding.bases if not issubclass(original, base)]
    bases = (original, _PlainConstructor, *kernels) if kernels else (original,)
    bound = _bound_type(type(original))(original.__name__, bases, names)
    return bound


@functools.cache
def _bound_type(metaclass: type) -> type:
    made = BoundType if issubclass(BoundType, metaclass) else type("BoundType", (BoundType, metaclass), {})
    copyreg.pickle(made, _reduced_class)
    return made


def _finish(module: nn.Module, bound: type) -> None:
    """Binds a module that a bound class has just made, or makes it one of the original class."""
    binding = bound._liger_binding
    reason = binding.refusal(module) if binding.makes_bound else "it is new"
    if reason is None:
        binding.prepare(module)
        return
    if type(module) is not bound:
        raise ValueError(f"{type(module).__name__} cannot run {binding.name}: {reason}. Switch that kernel off")
    module.__class__ = bound._liger_original
    if binding.makes_bound:
        _warn_once(f"{bound.__name__} does not run {binding.name}: {reason}")


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning(message)


def bind(module: nn.Module, binding: Binding) -> Optional[str]:
    """Makes a module run a kernel; returns why it does not, or None."""
    if binding_of(module) != binding:
        reason = foreign_forward(module) or binding.refusal(module)
        if reason is None and "parametrizations" in module._modules:
            reason = "its parameters are computed by torch.nn.utils.parametrize"
        if reason is not None:
            return reason
        module.__class__ = bound_class(original_class(type(module)), binding)
    binding.prepare(module)
    # What hooks keep or have left behind is the class's forward, bound: now it is the bound class's.
    if own_forward(module, "_old_forward"):
        module.__dict__["_old_forward"] = types.MethodType(type(module).forward, module)
    if own_forward(module, "forward"):
        del module.__dict__["forward"]
    return None


def binding_of(module: nn.Module) -> Optional[Binding]:
    return getattr(type(module), "_liger_binding", None)


def original_class(cls: type) -> type:
    """The class that a bound class was made from; any other as it is."""
    return cls.__dict__.get("_liger_original", cls)


def written_class(cls: type) -> type:
    """The class that somebody wrote, beneath those that we, torch's parametrisations and FSDP derive from it."""
    while True:
        made = [
            base for base in cls.__bases__ if cls.__name__ in (f"Parametrized{base.__name__}", f"FSDP{base.__name__}")
        ]
        beneath = made[0] if made else original_class(cls)
        if beneath is cls:
            return cls
        cls = beneath


def own_forward(module: nn.Module, slot: str) -> bool:
    """Whether the instance's dictionary holds a forward of its class, bound to it: what a hook leaves behind."""
    method = module.__dict__.get(slot)
    if getattr(method, "__self__", None) is not module:
        return False
    cls, function = type(module), method.__func__
    if any(function is base.__dict__.get("forward") for base in cls.__mro__):
        return True
    # A model class may have been given its loss forward since.
    return lce.is_loss_forward(cls.forward) and lce.original_forward(cls) is function


def foreign_forward(module: nn.Module) -> Optional[str]:
    """Says whose forward stands in the instance's dictionary, beneath accelerate's hook where there is one."""
    slot = "_old_forward" if "_hf_hook" in module.__dict__ else "forward"
    forward = module.__dict__.get(slot)
    if forward is None or own_forward(module, slot):
        return None
    return f"its forward was replaced by {described(forward)}"


def foreign_class_forward(cls: type) -> Optional[str]:
    """Says whose forward a class was given, by the package that it comes from."""
    packages = {base.__module__.partition(".")[0] for base in (*cls.__mro__, Binding)}
    if (_written(cls.forward)[0] or "").partition(".")[0] in packages:
        return None
    return f"the forward of its class was replaced by {described(cls.forward)}"


def covering_forward(module: nn.Module) -> Optional[str]:
    """Says whose forward stands before the class's, and may leave it out; None where none does.

    What accelerate and torch wrap around a forward, as for autocast, calls it.
    """
    cover = foreign_forward(module)
    if cover is None:
        return None
    function = module.__dict__["_old_forward" if "_hf_hook" in module.__dict__ else "forward"]
    while (function := getattr(function, "__func__", function)) is not None:
        if any(function is base.__dict__.get("forward") for base in type(module).__mro__):
            return None
        if (_written(function)[0] or "").partition(".")[0] not in ("accelerate", "torch"):
            return cover
        function = getattr(function, "__wrapped__", None)
    return cover


def described(forward) -> str:
    home, name = _written(forward)
    return f"{home}.{name}" if home else name


def _written(forward):
    """The module and the name that a function was written under; functools.wraps gives it those of another."""
    function = getattr(forward, "__func__", forward)
    if isinstance(function, types.FunctionType):
        code = function.__code__
        return function.__globals__.get("__name__"), getattr(code, "co_qualname", code.co_name)
    if isinstance(function, types.BuiltinFunctionType):
        return function.__module__, function.__qualname__
    # An object that is called; functools.update_wrapper gives it names too.
    return type(function).__module__, type(function).__qualname__


# Pickling, by what the classes were made from.


def keep_picklable(original: type) -> None:
    """Lets pickle find a class whose name in its module is about to belong to the bound one."""
    copyreg.pickle(original, _reduced_instance)


def _reference(cls: type):
    """A class, or its address where a bound class has taken its name."""
    found = _found(cls.__module__, cls.__qualname__)
    return (cls.__module__, cls.__qualname__) if found is not cls and original_class(found) is cls else cls


def _found(home: str, name: str) -> type:
    value = sys.modules.get(home)
    for part in name.split("."):
        value = getattr(value, part, None)
    return value if isinstance(value, type) else type(None)


def _resolved(reference) -> type:
    if isinstance(reference, type):
        return original_class(reference)
    __import__(reference[0])
    return original_class(_found(*reference))


def _reduced_class(bound: type):
    if "_liger_original" not in bound.__dict__:
        # A class that somebody derived from a bound one: pickle takes a text for the name of a global.
        return bound.__qualname__
    return _bound_again, (_reference(bound._liger_original), bound._liger_binding)


def _bound_again(reference, binding: Binding) -> type:
    return bound_class(_resolved(reference), binding)


def _reduced_instance(module: nn.Module):
    function, arguments, *rest = module.__reduce_ex__(2)
    if function is not copyreg.__newobj__ or arguments[0] is not type(module):
        return (function, arguments, *rest)
    return (_new, (_reference(arguments[0]), *arguments[1:]), *rest)


def _new(reference, *arguments):
    cls = _resolved(reference)
    return cls.__new__(cls, *arguments)
