"""Logits that have not been computed: the head, its input, and what has been done to the product since."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


class DeferredLogits:
    """Stands for `head(hidden)` while a model's own forward works with its logits.

    A causal language model makes its logits, scales or bounds them (Granite divides, Gemma takes
    cap * tanh(logits / cap)), drops or reshapes rows, and hands them to a cross entropy. Each of these either acts on
    whole rows, and then acts on `hidden` just as well, or is part of what the fused loss computes:

        logits' = multiplier * (hidden W^T + bias)        or, bounded,        cap * tanh(logits' / cap)

    So this object takes part in those operations by writing them down. Everything else that a forward may do with
    logits makes them: the head is run and the operations are replayed on its result, which costs memory and never
    correctness.
    """

    def __init__(self, head, hidden, vocabulary, fuse, operations=()):
        """`fuse(deferred, target, **options)` is the fused cross entropy that `F.cross_entropy` turns into."""
        self.head = head
        self.hidden = hidden
        self.vocabulary = vocabulary
        self.fuse = fuse
        self.operations = operations
        self.made = None

    # What the forward may ask without making the logits.

    @property
    def shape(self):
        return torch.Size((*self.hidden.shape[:-1], self.vocabulary))

    @property
    def ndim(self):
        return self.hidden.dim()

    @property
    def device(self):
        return self.hidden.device

    @property
    def dtype(self):
        for name, argument in reversed(self.operations):
            if name == "to":
                return argument
        return self.hidden.dtype

    @property
    def requires_grad(self):
        return self.hidden.requires_grad

    def dim(self):
        return self.hidden.dim()

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def __len__(self):
        return self.hidden.shape[0]

    # Operations that are written down.

    # Once made, the logits may be changed in place, so from then on they are what counts.

    def then(self, name, argument=None):
        if self.made is not None:
            return REPLAY[name](self.made, argument)
        return DeferredLogits(self.head, self.hidden, self.vocabulary, self.fuse, (*self.operations, (name, argument)))

    def with_rows(self, hidden):
        return DeferredLogits(self.head, hidden, self.vocabulary, self.fuse, self.operations)

    def __mul__(self, other):
        return self.then("mul", other) if isinstance(other, (int, float)) else self.make() * other

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self.then("div", other) if isinstance(other, (int, float)) else self.make() / other

    def tanh(self):
        return self.then("tanh")

    def float(self):
        return self.then("to", torch.float32)

    def to(self, *args, **kwargs):
        target = args[0] if len(args) == 1 and not kwargs else None
        if isinstance(target, torch.dtype):
            return self.then("to", target)
        if target is not None and not torch.is_tensor(target) and torch.device(target) == self.device:
            return self if self.made is None else self.made
        return self.make().to(*args, **kwargs)

    def contiguous(self):
        return self if self.made is None else self.made

    def view(self, *shape):
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            shape = tuple(shape[0])
        if self.made is None and all(isinstance(size, int) for size in shape) and shape[-1] == self.vocabulary:
            return self.with_rows(self.hidden.reshape(*shape[:-1], self.hidden.shape[-1]))
        return self.make().reshape(*shape)

    reshape = view

    def __getitem__(self, index):
        if self.made is None and selects_rows(index, self.ndim):
            return self.with_rows(self.hidden[index])
        return self.make()[index]

    # Everything else makes the logits.

    def make(self):
        """The logits, computed by the head and with every operation applied in its order."""
        if self.made is None:
            logits = self.head(self.hidden)
            for name, argument in self.operations:
                logits = REPLAY[name](logits, argument)
            self.made = logits
        return self.made

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.make(), name)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.cross_entropy and isinstance(args[0] if args else kwargs.get("input"), cls):
            return cross_entropy(*args, **kwargs)
        if function is torch.tanh and len(args) == 1 and not kwargs:
            return args[0].tanh()
        return function(*(made(a) for a in args), **{k: made(v) for k, v in kwargs.items()})

    def form(self):
        """`(multiplier, softcap)` such that these are the logits of the fused loss, or None where they are not.

        With c the factor after the tanh and m the one before it, c tanh(m z) = c tanh((m c) z / c).
        Numerators and denominators are kept apart so that Gemma's z / c * c multiplies by exactly one.
        """
        if self.made is not None:
            return None
        before, after = [1.0, 1.0], None
        for name, argument in self.operations:
            if name == "tanh":
                if after is not None:
                    return None
                after = [1.0, 1.0]
            elif name in ("mul", "div"):
                (before if after is None else after)[name == "div"] *= float(argument)
        if before[1] == 0 or (after is not None and after[1] == 0):
            return None
        if after is None:
            return before[0] / before[1], None
        cap = after[0] / after[1]
        if not cap > 0 or not math.isfinite(cap):
            return None
        return (before[0] * cap) / before[1], cap


def makes_the_logits(name):
    def method(self, *args):
        return getattr(self.make(), name)(*(made(a) for a in args))

    method.__name__ = name
    return method


# Python looks these up on the class, past `__getattr__`.
for _name in (
    "add radd sub rsub rtruediv floordiv mod pow rpow matmul rmatmul neg abs invert and or xor eq ne lt le gt ge "
    "setitem iter bool float int contains"
).split():
    setattr(DeferredLogits, f"__{_name}__", makes_the_logits(f"__{_name}__"))
DeferredLogits.__hash__ = object.__hash__

REPLAY = {
    "mul": lambda logits, factor: logits * factor,
    "div": lambda logits, divisor: logits / divisor,
    "tanh": lambda logits, _: torch.tanh(logits),
    "to": lambda logits, dtype: logits.to(dtype),
}


def made(value):
    return value.make() if isinstance(value, DeferredLogits) else value


def cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """`torch.nn.functional.cross_entropy` of deferred logits; per-token losses and probabilities are left to torch."""
    rows = input.form() is not None and input.ndim == 2 and target.dim() == 1 and not target.is_floating_point()
    if rows and size_average is None and reduce is None and reduction in ("mean", "sum"):
        return input.fuse(
            input,
            target,
            ce_weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
    return F.cross_entropy(
        input.make(), made(target), weight, size_average, ignore_index, reduce, reduction, label_smoothing
    )


def selects_rows(index, rank):
    """Whether indexing a tensor of this rank leaves its last dimension whole and last."""
    items = index if isinstance(index, tuple) else (index,)
    used = 0
    for position, item in enumerate(items):
        if item is Ellipsis:
            rest = items[position + 1 :]
            if any(other is Ellipsis or torch.is_tensor(other) or other is None for other in rest):
                return False
            return len(rest) == 0 or is_whole(rest[-1])
        if item is None:
            continue
        if torch.is_tensor(item):
            used += item.dim() if item.dtype == torch.bool else 1
        elif isinstance(item, (int, slice)):
            used += 1
        else:
            return False
    return used < rank or (used == rank and is_whole(items[-1]))


def is_whole(item):
    return isinstance(item, slice) and item == slice(None)
