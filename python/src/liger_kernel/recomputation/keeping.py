"""Modes that keep results of operators in a forward pass, and hand them out in its recomputation.

They lie below autograd, so what a recomputation saves for the backward pass is in number, order and form what it saves
under gradient checkpointing. Operators of this package do not go through torch's dispatcher and are not seen: they are
norms, gates and rotations, which are to be computed again.
"""

import contextlib

import torch

from torch.utils._python_dispatch import TorchDispatchMode

from liger_kernel.recomputation.operators import ATTENTION
from liger_kernel.recomputation.operators import KEPT
from liger_kernel.recomputation.operators import KINDS
from liger_kernel.recomputation.operators import WRITES
from liger_kernel.recomputation.operators import draws
from liger_kernel.recomputation.operators import storages_written

_unexcluded = getattr(torch._C, "_SetExcludeDispatchKeyGuard", None)


class Ledger:
    """Bytes that are kept now, and the most there were."""

    def __init__(self):
        self.live = self.peak = 0

    def add(self, count):
        self.live += count
        self.peak = max(self.peak, self.live)


class Kept:
    """What one call of a block keeps: results by the number of their operator in the call.

    allowance: the bytes it may keep. Results that are larger than when they were measured, as of experts with more
    tokens, are kept while it lasts.
    host, hosted: the `Host`, and the numbers of results that are kept there. before: what the call before this one
    keeps, which is fetched from there when this one is computed again.
    """

    def __init__(self, wanted, allowance, ledger, host=None, hosted=frozenset(), before=None):
        self.wanted, self.allowance, self.ledger = wanted, allowance, ledger
        self.host, self.hosted, self.before = host, hosted, before
        self.results, self.sent = {}, {}

    def send(self, number, operator, result):
        """Keeps a result in the host's memory, if it is one plain tensor in one piece."""
        if type(result) is torch.Tensor and result.is_contiguous():
            self.sent[number] = operator, self.host.send(result)

    def settle(self):
        """At the end of a forward pass: results that others still hold may be written to, so they are given up."""
        for number, (_, sent) in list(self.sent.items()):
            if not sent.storage.expired():
                self._give_up(number)

    def fetch(self):
        """Starts to fetch what is in the host's memory."""
        for _, sent in self.sent.values():
            self.host.fetch(sent)

    def _give_up(self, number):
        self.host.give_up(self.sent.pop(number)[1])

    def put(self, number, operator, result):
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        count = sum(bytes_of(each) for each in tensors)
        if count > self.allowance:
            return
        self.allowance -= count
        self.ledger.add(count)
        self.results[number] = operator, type(result), [_held(each) for each in tensors], count

    def take(self, number, operator):
        """The result, which is given up; None if there is none, as in a second backward pass over one graph."""
        if number in self.sent:
            kept_of, sent = self.sent.pop(number)
            _require_same(kept_of, operator)
            return self.host.take(sent)
        found = self.results.pop(number, None)
        if found is None:
            return None
        kept_of, kind, held, count = found
        self.ledger.add(-count)
        _require_same(kept_of, operator)
        tensors = [_handed_out(each, operator) for each in held]
        return tensors[0] if not issubclass(kind, (tuple, list)) else kind(tensors)

    def drop(self, storages):
        """Gives up results whose memory is written to: they are computed again. Views need not count its versions."""
        for storage in storages:
            for number, (_, _, held, count) in list(self.results.items()):
                if any(isinstance(each, torch.Tensor) and _storage(each) == storage for each, _ in held):
                    self.ledger.add(-count)
                    del self.results[number]
            for number, (_, sent) in list(self.sent.items()):
                if sent.address == storage and not sent.storage.expired():
                    self._give_up(number)

    def __del__(self):
        for number in list(self.sent):
            self._give_up(number)
        for *_, count in self.results.values():
            self.ledger.add(-count)


def _require_same(kept_of, operator):
    if kept_of is not operator:
        raise RuntimeError(
            f"a block computed {kept_of} in its forward pass and {operator} in the recomputation. Its forward must "
            "do the same both times, as under gradient checkpointing"
        )


def _storage(tensor):
    return tensor.untyped_storage()._cdata


def bytes_of(value):
    return value.untyped_storage().nbytes() if isinstance(value, torch.Tensor) else 0


def _held(value):
    """A result without its graph, which would keep itself alive, and how often it was written to so far."""
    if not isinstance(value, torch.Tensor):
        return value, None
    # Writes to the result are to count as writes to this tensor.
    guard = _unexcluded(torch._C.DispatchKey.ADInplaceOrView, False) if _unexcluded else contextlib.nullcontext()
    with guard:
        return value.detach(), value._version


def _handed_out(held, operator):
    value, version = held
    if version is not None and value._version != version:
        raise RuntimeError(
            f"the result of {operator} was written to after its block returned it, so the block cannot be computed "
            "from it again. Write to a copy, or leave the model to gradient checkpointing"
        )
    return value


class Mode(TorchDispatchMode):
    """Counts operators whose results may be kept."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __enter__(self):
        self.number = 0
        return super().__enter__()

    @classmethod
    def ignore_compile_internals(cls):
        return True


class Keeping(Mode):
    """Keeps what a call wants of its forward pass."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        options = options or {}
        result = operator(*arguments, **options)
        kind = KINDS[operator]
        if kind is None:
            return result
        if kind == WRITES:
            self.kept.drop(storages_written(operator, arguments, options))
            return result
        number, self.number = self.number, self.number + 1
        if number in self.kept.wanted and not (kind == ATTENTION and draws(operator, arguments, options)):
            self.kept.put(number, operator, result)
        elif number in self.kept.hosted:
            self.kept.send(number, operator, result)
        return result

    def __exit__(self, *error):
        self.kept.settle()
        return super().__exit__(*error)


class HandingOut(Mode):
    """Gives in a recomputation what was kept, and runs what was not."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def __enter__(self):
        self.kept.fetch()
        if self.kept.before is not None:
            self.kept.before.fetch()
            self.kept.before = None
        return super().__enter__()

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        if KINDS[operator] in KEPT:
            number, self.number = self.number, self.number + 1
            result = self.kept.take(number, operator)
            if result is not None:
                return result
        return operator(*arguments, **(options or {}))
