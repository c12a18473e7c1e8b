"""Deferred logits for forwards and losses that are known, those of transformers: a plain object, quicker than a tensor.

torch.compile, which cannot trace the making of a tensor without memory, traces these; a forward or a loss of a user's
own is traced with the head that there is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from liger_kernel.transformers.model import deferred
from liger_kernel.transformers.model.deferred import Deferred
from liger_kernel.transformers.model.deferred import made
from liger_kernel.transformers.model.product import Product


class PlainLogits(Deferred):
    """An object with what forwards of transformers ask of logits."""

    def __init__(self, product: Product):
        self.product = product

    @classmethod
    def of(cls, product: Product) -> PlainLogits:
        return cls(product)

    shape = property(lambda self: self.product.shape)
    dtype = property(lambda self: self.product.dtype)
    device = property(lambda self: self.product.hidden.device)
    ndim = property(lambda self: self.product.hidden.dim())
    requires_grad = property(lambda self: len(self.product.origins) > 0)

    def dim(self):
        return self.ndim

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def __len__(self):
        return self.shape[0]

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.make(), name)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if args and isinstance(args[0], cls):
            first, *others = args
            if function is F.cross_entropy:
                result = deferred.cross_entropy(first, function, *others, **kwargs)
                return function(*made(args), **made(kwargs)) if result is NotImplemented else result
            if function is torch.tanh and not others and not kwargs:
                return first.tanh()
        return function(*made(args), **made(kwargs))


def writes_down(name, write_down):
    function = getattr(torch.Tensor, name)

    def method(self, *arguments, **options):
        result = write_down(self, function, *arguments, **options)
        return function(self.make(), *made(arguments), **made(options)) if result is NotImplemented else result

    return method


def makes_the_logits(name):
    def method(self, *arguments):
        return getattr(self.make(), name)(*made(arguments))

    return method


for _name, _write_down in {
    **dict.fromkeys(("__mul__", "__rmul__"), deferred.multiply),
    "__truediv__": deferred.divide,
    "to": deferred.convert,
    "float": deferred.to_float,
    **dict.fromkeys(("view", "reshape"), deferred.reshape),
    "tanh": deferred.bound,
    "contiguous": deferred.keep,
    "__getitem__": deferred.select,
}.items():
    setattr(PlainLogits, _name, writes_down(_name, _write_down))
# Python looks these up on the class, past `__getattr__`.
for _name in (
    "add radd sub rsub rtruediv floordiv mod pow rpow matmul rmatmul neg abs invert and or xor eq ne lt le gt ge "
    "setitem iter bool float int contains"
).split():
    setattr(PlainLogits, f"__{_name}__", makes_the_logits(f"__{_name}__"))
PlainLogits.__hash__ = object.__hash__
