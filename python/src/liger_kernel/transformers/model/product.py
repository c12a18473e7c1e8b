"""Logits that have not been computed: the head, its input, and what has been done to the product since.

A causal language model makes its logits, scales or bounds them (Granite divides, Gemma takes
cap * tanh(logits / cap)), drops or reshapes rows, and hands them to a cross entropy. Each of these either acts on
whole rows, and then acts on the hidden states just as well, or is part of what the fused loss computes:

    logits' = multiplier * (hidden W^T + bias)        or, bounded,        cap * tanh(logits' / cap)

So these operations are written down, each with the call that it was. Everything else that is done with logits makes
them: the head is run and the calls are made on its result, which costs memory and never correctness.
"""

from __future__ import annotations

import contextlib
import math

from typing import Callable
from typing import Optional

import torch

from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.utils import autocast_dtype

try:
    from torch._C._autograd import _top_saved_tensors_default_hooks as top_hooks

    top_hooks(True)
except (ImportError, TypeError):  # Another release of torch.

    def top_hooks(_):
        return None


# Hooks that leave saved tensors as they are.
NO_HOOKS = (lambda tensor: tensor,) * 2


class Product:
    """A product of a head that has not been computed, or what an operation makes of one (`parent`)."""

    _FIELDS = ("head", "hidden", "vocabulary", "fuse", "steps", "parent", "replay", "made")
    _FIELDS += ("modes", "dtype", "version", "origins", "is_sharded")

    def __init__(self, head, hidden: torch.Tensor, vocabulary: int, fuse: Optional[Callable], parameters=()):
        """`fuse(product, target, **options)` is the fused cross entropy that `F.cross_entropy` turns into.

        parameters: the head's, where they can be used outside of its call, else None.
        """
        self.head, self.hidden, self.vocabulary, self.fuse = head, hidden, vocabulary, fuse
        self.steps: tuple = ()
        self.parent, self.replay, self.made = None, None, None
        self.modes = modes(hidden)
        self.dtype = self.modes[2] or hidden.dtype
        self.version = None if is_compiling() or hidden.is_inference() else hidden._version
        # What autograd follows the product back to.
        self.origins = tuple(t for t in (hidden, *(parameters or ())) if t.requires_grad) if self.modes[0] else ()
        self.is_sharded = parameters is None

    def then(self, replay: Callable, hidden=None, step=None, dtype=None) -> Product:
        """What `replay(logits)` gives, with the hidden states of its rows or a step of the formula above."""
        result = Product.__new__(Product)
        # By name: torch before 2.13 does not trace an object's own dictionary.
        for name in Product._FIELDS:
            setattr(result, name, getattr(self, name))
        result.parent, result.replay = self, replay
        if hidden is not None:
            result.hidden = hidden
        if step is not None:
            result.steps = (*self.steps, step)
        if dtype is not None:
            result.dtype = dtype
        return result

    @property
    def shape(self) -> torch.Size:
        return torch.Size((*self.hidden.shape[:-1], self.vocabulary))

    def is_settled(self) -> bool:
        """Whether the logits, or those that they come from, are there. They may be changed in place, so they count."""
        return self.made is not None or (self.parent is not None and self.parent.is_settled())

    def make(self) -> torch.Tensor:
        """The logits, as the head and the operations would have made them, views of each other where those are."""
        if self.made is None:
            if self.parent is None:
                self.check_hidden()
            source = self.hidden if self.parent is None else self.parent.make()
            with within(self.modes, self.hidden):
                self.made = self.of(source)
            self.made_version = None if is_compiling() or self.made.is_inference() else self.made._version
        return self.made

    def of(self, source):
        return self.head(source) if self.parent is None else self.replay(source)

    def values(self) -> torch.Tensor:
        """The logits for those beneath autograd, where making them for good would leave their graph out."""
        if self.made is not None:
            return self.made.detach()
        return self.of(self.hidden if self.parent is None else self.parent.values()).detach()

    def gradients(self, upstream) -> list:
        """The gradients of the origins, from recomputed logits: others may have freed the graph of those there are."""
        if reason := self.reason_against_recomputing():
            raise RuntimeError(
                "the logits were used past torch's Python functions, in an autograd Function or in C++, and have no "
                f"gradient there, as {reason}. Hand over a result of theirs instead, such as logits + 0"
            )
        # Cut from its history, which the same parameters may be part of: those of tied embeddings are.
        cut = self.hidden_of_head().detach().requires_grad_()
        inputs = [cut if origin is self.hidden_of_head() else origin for origin in self.origins]
        with within(self.modes, cut):
            return torch.autograd.grad(self.recomputed(cut), inputs, upstream, allow_unused=True)

    def reason_against_recomputing(self):
        if self.is_sharded:
            return "the head is sharded"
        if torch.is_grad_enabled():
            return "a second derivative is asked for"
        if self.is_changed():
            return "they have been changed in place"
        dropouts = (m for m in self.head.modules() if isinstance(m, torch.nn.Dropout))
        return "the head drops some at random" if any(m.training and m.p > 0 for m in dropouts) else None

    def hidden_of_head(self) -> torch.Tensor:
        return self.hidden if self.parent is None else self.parent.hidden_of_head()

    def recomputed(self, hidden) -> torch.Tensor:
        return self.of(hidden if self.parent is None else self.parent.recomputed(hidden))

    def is_changed(self) -> bool:
        """Whether the logits have been changed in place since they were made."""
        own = self.made is not None and self.made._version != self.made_version
        return own or (self.parent is not None and self.parent.is_changed())

    def check_hidden(self):
        if self.parent is not None:
            self.parent.check_hidden()
        elif self.version is not None and self.hidden._version != self.version:
            raise RuntimeError(
                "the hidden states that the output head was called with have been changed in place since, and its "
                "logits are only computed now; change a copy of them"
            )

    def form(self):
        """`(multiplier, softcap)` such that these are the logits of the fused loss, or None where they are not.

        With c the factor after the tanh and m the one before it, c tanh(m z) = c tanh((m c) z / c).
        Numerators and denominators are kept apart so that Gemma's z / c * c multiplies by exactly one.
        """
        if self.is_settled() or self.modes != modes(self.hidden):
            return None
        self.check_hidden()
        before, after = [1.0, 1.0], None
        for name, argument in self.steps:
            if name == "tanh":
                if after is not None:
                    return None
                after = [1.0, 1.0]
            else:
                (before if after is None else after)[1 if name == "div" else 0] *= float(argument)
        if before[1] == 0 or (after is not None and after[1] == 0):
            return None
        if after is None:
            return before[0] / before[1], None
        cap = after[0] / after[1]
        if not cap > 0 or not math.isfinite(cap):
            return None
        return (before[0] * cap) / before[1], cap


def modes(tensor: torch.Tensor) -> tuple:
    """What else decides how an operation runs: whether autograd records it, autocast's type, and the hooks that take
    what autograd saves, as those of a checkpoint do."""
    dtype = autocast_dtype(tensor.device.type)
    if is_compiling():
        return torch.is_grad_enabled(), False, dtype, None
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), dtype, top_hooks(True)


@contextlib.contextmanager
def within(wanted: tuple, tensor: torch.Tensor):
    """Runs what is inside as if these modes were on."""
    if wanted == modes(tensor):
        yield
        return
    records, infers, dtype, hooks = wanted
    cast = torch.autocast(tensor.device.type, dtype=dtype, enabled=dtype is not None)
    saves = torch.autograd.graph.saved_tensors_hooks(*(hooks or NO_HOOKS))
    with torch.inference_mode(infers), torch.set_grad_enabled(records), cast, saves:
        yield
