"""The measured step: it keeps nothing, and learns what each block's results cost and when how much memory is in use."""

from __future__ import annotations

import statistics
import time

from collections import defaultdict
from dataclasses import dataclass
from dataclasses import field
from typing import Dict
from typing import List
from typing import Optional
from typing import Tuple

import torch

from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from liger_kernel._operation import PLAIN
from liger_kernel.recomputation.keeping import Mode
from liger_kernel.recomputation.keeping import bytes_of
from liger_kernel.recomputation.operators import ATTENTION
from liger_kernel.recomputation.operators import KEPT
from liger_kernel.recomputation.operators import KINDS
from liger_kernel.recomputation.operators import WRITES
from liger_kernel.recomputation.operators import draws
from liger_kernel.recomputation.operators import storages_written

_top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)


@dataclass
class Result:
    """What an operator of a block gives."""

    label: str
    bytes: int
    # Of the device, to compute it.
    ms: float = 0.0
    # Attention that drops out cannot: the numbers that it draws would be missing from those that follow. Nor can what
    # the block writes to.
    may_be_kept: bool = True
    # Whether the recomputation came to it, so that keeping it saves time.
    is_needed: bool = False
    # Whether the backward pass holds it too, once it is recomputed.
    is_held: bool = False


@dataclass
class Size:
    """Of a block's input: all elements, and the length of its sequences."""

    elements: int
    length: int

    def holds(self, other):
        return self.elements >= other.elements and self.length >= other.length


@dataclass
class Call:
    """One call of a block in a step. `key` is the block and how many calls of it came before."""

    key: Tuple[int, int]
    size: Size
    results: List[Result] = field(default_factory=list)
    # Of a recomputation as a whole, on the device and on the host.
    ms: float = 0.0
    host_ms: float = 0.0
    # What the backward pass holds if the block is not checkpointed; None where this is not known.
    graph_bytes: Optional[int] = None
    # Where in the points of a profile the forward pass and the recomputation begin.
    forward_point: int = 0
    backward_point: Optional[int] = None


@dataclass
class Profile:
    """A measured step: its calls, and the most memory in use from each point to the next, beyond that at its start."""

    calls: Dict[Tuple[int, int], Call]
    points: List[int]
    size: Size


class Measurement:
    """Of a step in progress."""

    def __init__(self, gauge, size):
        self.gauge, self.size = gauge, size
        self.calls: Dict[Tuple[int, int], Call] = {}
        self.points: List[int] = []
        self.times = []
        gauge.take_peak()
        self.base = gauge.in_use()

    def contexts(self, key, size, block):
        """What a call's forward pass and recomputation run under."""
        call = self.calls[key] = Call(key, size, forward_point=len(self.points))
        self.point()
        return _Forward(self, call, block), _Recomputation(self, call, block)

    def point(self):
        """Begins a stretch of the step."""
        peak = self.gauge.take_peak() - self.base
        if self.points:
            self.points[-1] = max(self.points[-1], peak)
        self.points.append(self.gauge.in_use() - self.base)

    def profile(self):
        """What was measured. Waits for the device to have done it."""
        for apply, start, end in self.times:
            apply(self.gauge.elapsed(start, end))
        self.times.clear()
        _even_out(self.calls.values())
        return Profile(self.calls, self.points, self.size)


class _Forward(Mode):
    """Notes what results there are and how long they took."""

    def __init__(self, measurement, call, block):
        super().__init__()
        self.measurement, self.call = measurement, call
        self.names = {p.data_ptr(): name for name, p in _plain_parameters(block)}
        self.storages = {}

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        options = options or {}
        kind = KINDS[operator]
        if kind == WRITES:
            for storage in storages_written(operator, arguments, options):
                if storage in self.storages:
                    self.storages[storage][0].may_be_kept = False
        if kind not in KEPT:
            return operator(*arguments, **options)
        gauge = self.measurement.gauge
        start = gauge.mark()
        value = operator(*arguments, **options)
        end = gauge.mark()
        tensors = [each for each in (value if isinstance(value, (tuple, list)) else (value,)) if bytes_of(each)]
        result = Result(self._label(kind, arguments), sum(map(bytes_of, tensors)))
        result.may_be_kept = not (kind == ATTENTION and draws(operator, arguments, options))
        self.call.results.append(result)
        # A weak reference keeps the address from being used again, and not the memory.
        weak = [StorageWeakRef(each.untyped_storage()) for each in tensors]
        self.storages |= {each.untyped_storage()._cdata: (result, weak) for each in tensors}
        self.measurement.times.append((_setter(result, "ms"), start, end))
        return value

    def _label(self, kind, arguments):
        if kind == ATTENTION:
            return kind
        for each in arguments:
            name = self.names.get(each.data_ptr()) if type(each) in PLAIN else None
            if name is not None:
                return name.removesuffix(".weight").removesuffix(".bias").split(".", 1)[-1]
        return kind


class _Recomputation(Mode):
    """Notes which results were needed, and what the whole takes."""

    def __init__(self, measurement, call, block):
        super().__init__()
        self.measurement, self.call = measurement, call
        self.own = {p.untyped_storage()._cdata for _, p in _plain_parameters(block)}
        self.is_measured, self.storages, self.saved, self.hooks = False, [], {}, None

    def __enter__(self):
        self.is_measured = self.call.backward_point is None
        if self.is_measured:
            self.call.backward_point = len(self.measurement.points)
            self.measurement.point()
            _at_end_of_backward(self.measurement.point)
            self.before = self.measurement.gauge.in_use()
            self.hooks = _counting_hooks(self.saved)
            if self.hooks is not None:
                self.hooks.__enter__()
            # A host that is far ahead waits for room in the device's queue, which is no time of its own.
            self.measurement.gauge.wait()
            self.start, self.host_start = self.measurement.gauge.mark(), time.perf_counter()
        return super().__enter__()

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        value = operator(*arguments, **(options or {}))
        if KINDS[operator] in KEPT:
            number, self.number = self.number, self.number + 1
            if self.is_measured and number < len(self.call.results):
                self.call.results[number].is_needed = True
                first = value[0] if isinstance(value, (tuple, list)) else value
                self.storages.append((self.call.results[number], StorageWeakRef(first.untyped_storage())))
        return value

    def __exit__(self, *error):
        handled = super().__exit__(*error)
        if self.is_measured:
            self.is_measured = False
            gauge, call = self.measurement.gauge, self.call
            self.measurement.times.append((_setter(call, "ms"), self.start, gauge.mark()))
            # A host that does the work itself is not waited for.
            call.host_ms = (time.perf_counter() - self.host_start) * 1e3 if gauge.counts_memory else 0.0
            if self.hooks is not None:
                self.hooks.__exit__(*error)
            if gauge.counts_memory:
                call.graph_bytes = max(gauge.in_use() - self.before, 0)
            elif self.hooks is not None:
                call.graph_bytes = sum(size for key, size in self.saved.items() if key not in self.own)
            for result, storage in self.storages:
                result.is_held = not storage.expired()
            self.storages.clear()
            self.saved.clear()
        return handled


def _even_out(calls):
    """Gives all of a kind the median of their times: the first of each waits for kernels and memory to be made."""
    results, blocks = defaultdict(list), defaultdict(list)
    for call in calls:
        if call.backward_point is not None:
            blocks[len(call.results), call.size.elements].append(call)
        for result in call.results:
            results[result.label, result.bytes].append(result)
    for alike, names in ((results, ["ms"]), (blocks, ["ms", "host_ms"])):
        for group in alike.values():
            for name in names:
                median = statistics.median(getattr(each, name) for each in group)
                for each in group:
                    setattr(each, name, median)


def _plain_parameters(block):
    """Those with memory of their own; none where it is not known which module a call is of."""
    named = block.named_parameters() if block is not None else ()
    return [(name, parameter) for name, parameter in named if type(parameter) in PLAIN and parameter.numel()]


def _setter(target, name):
    return lambda value: setattr(target, name, value)


def _counting_hooks(saved):
    """Hooks for saved tensors that note their memory and do what those that are on do; None where torch hides them."""
    top = _top_hooks(False) if _top_hooks is not None else None
    if top is None:
        return None
    pack, unpack = top[0], top[1]

    def noting(tensor):
        storage = tensor.untyped_storage()
        saved[storage._cdata] = storage.nbytes()
        return pack(tensor)

    return saved_tensors_hooks(noting, unpack)


def _at_end_of_backward(function):
    torch.autograd.Variable._execution_engine.queue_callback(function)
