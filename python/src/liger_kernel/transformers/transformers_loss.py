"""The kernel for the cross entropy that transformers' loss functions call: of all models, or of one."""

from __future__ import annotations

import functools
import importlib
import types

import torch.nn as nn
import torch.nn.functional as F

from liger_kernel.transformers import functional
from liger_kernel.transformers.fallback import takes
from liger_kernel.transformers.renaming import renamed
from liger_kernel.transformers.renaming import uses

# What transformers' loss functions find under another name where one model alone has the kernel.
_NAMES = {"nn": "liger_nn", "fixed_cross_entropy": "liger_fixed_cross_entropy"}


def overlay(base: types.ModuleType, **changes) -> types.ModuleType:
    """A copy of a module's names with some of them changed, to be given to one user of that module.

    transformers reaches torch through a module of its own (`nn` in a modeling file); giving that file another `nn`
    changes what it sees, and nobody else's torch.
    """
    copy = types.ModuleType(base.__name__, base.__doc__)
    copy.__dict__.update({name: value for name, value in base.__dict__.items() if name != "__getattr__"})
    copy.__dict__.update(changes)
    return copy


@functools.wraps(functional.liger_cross_entropy)
def cross_entropy(input, *args, **kwargs):
    """The kernel for what it takes, else torch's."""
    return (functional.liger_cross_entropy if takes(input) else F.cross_entropy)(input, *args, **kwargs)


def loss_utils():
    return importlib.import_module("transformers.loss.loss_utils")


def patch_all() -> None:
    """The cross entropy that transformers' losses call becomes the kernel; torch's own is left as it is."""
    home = loss_utils()
    if isinstance(home.nn, types.ModuleType) and home.nn.functional.cross_entropy is not cross_entropy:
        home.nn = _nn_with_kernel(home.nn)


def has_kernel() -> bool:
    return getattr(loss_utils().nn.functional, "cross_entropy", None) is cross_entropy


def _nn_with_kernel(base) -> types.ModuleType:
    return overlay(base, functional=overlay(base.functional, cross_entropy=cross_entropy))


class LossWithKernel:
    """One of transformers' loss functions with the kernel for its cross entropy."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        # Made here, as torch.compile cannot trace the making.
        self.renamed = _with_kernel(function)

    def __call__(self, *args, **kwargs):
        return self.renamed(*args, **kwargs)

    def __reduce__(self):
        return LossWithKernel, (self.__wrapped__,)


@functools.cache
def _with_kernel(function):
    home = vars(loss_utils())
    home.setdefault("liger_nn", _nn_with_kernel(nn))
    home.setdefault("liger_fixed_cross_entropy", renamed(home["fixed_cross_entropy"], {"nn": "liger_nn"}))
    used = {name: new for name, new in _NAMES.items() if uses(function, home["__name__"], (name,))}
    return renamed(function, used) if used else function


def bind(model, wanted: bool) -> None:
    """Gives one model the kernel, or its own loss function back."""
    own = model.loss_function
    if isinstance(own, LossWithKernel) != wanted:
        model.loss_function = LossWithKernel(own) if wanted else own.__wrapped__
