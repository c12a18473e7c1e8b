"""Sharing a budget out: which results each block keeps."""

from __future__ import annotations

import heapq

from collections import OrderedDict
from dataclasses import dataclass
from dataclasses import field
from typing import Dict
from typing import FrozenSet
from typing import Tuple

from liger_kernel.recomputation.budget import text

# A host that needs more than this part of a recomputation's time is what the device waits for: then no result that is
# kept makes it faster.
_HOST_BOUND = 0.9


@dataclass(frozen=True)
class BlockPlan:
    """What one call of a block keeps. `numbers`: of its results; `is_whole`: it is not checkpointed.

    `hosted`: numbers of results that are kept in the host's memory, of `hosted_bytes`.
    """

    name: str
    numbers: FrozenSet[int] = frozenset()
    labels: Tuple[str, ...] = ()
    is_whole: bool = False
    bytes: int = 0
    ms: float = 0.0
    hosted: FrozenSet[int] = frozenset()
    hosted_labels: Tuple[str, ...] = ()
    hosted_bytes: int = 0

    @property
    def text(self):
        here = "the whole graph" if self.is_whole else ", ".join(self.labels) or "nothing"
        return f"{here}; {', '.join(self.hosted_labels)} in the host's memory" if self.hosted else here


@dataclass(frozen=True)
class Plan:
    """What blocks keep, by block and how many calls of it came before in the step; `str()` prints it.

    expected_peak: bytes, of what the budget counts. kept_bytes: of all results when the forward pass ends.
    recomputation_ms, saved_ms: what recomputations of a step take where nothing is kept, and how much less they now do.
    """

    budget: int
    expected_peak: int
    recomputation_ms: float
    blocks: Dict[Tuple[int, int], BlockPlan] = field(default_factory=dict)
    # Of what memory the budget is.
    counted: str = ""

    @property
    def kept_bytes(self):
        return sum(block.bytes for block in self.blocks.values())

    @property
    def host_bytes(self):
        """Of results that are kept in the host's memory."""
        return sum(block.hosted_bytes for block in self.blocks.values())

    @property
    def saved_ms(self):
        return sum(block.ms for block in self.blocks.values())

    def __str__(self):
        lines = [
            f"recomputation: {text(self.kept_bytes)} are kept, expected peak {text(self.expected_peak)} of "
            f"{text(self.budget)} ({self.counted}); {self.saved_ms:.1f} of {self.recomputation_ms:.1f} ms of "
            "recomputation a step are saved"
            + (f"; {text(self.host_bytes)} are kept in the host's memory" if self.host_bytes else "")
        ]
        groups: OrderedDict = OrderedDict()
        for block in self.blocks.values():
            groups.setdefault(block.text, []).append(block)
        for kept, blocks in groups.items():
            names = blocks[0].name if len(blocks) == 1 else f"{len(blocks)} blocks, {_ranges(blocks)},"
            verb, each = ("keeps", "") if len(blocks) == 1 else ("keep", " each")
            lines.append(f"  {names} {verb} {kept}" + (f": {text(blocks[0].bytes)}{each}" if blocks[0].bytes else ""))
        return "\n".join(lines)


def _ranges(blocks):
    """Names of blocks; of consecutive numbers the first and the last, as in model.layers.3-7."""
    stem, runs = None, []
    for block in blocks:
        head, _, number = block.name.rpartition(".")
        if not number.isdigit():
            return f"{blocks[0].name} and others"
        if runs and head == stem and int(number) == runs[-1][1] + 1:
            runs[-1][1] = int(number)
        else:
            runs.append([int(number), int(number), "" if head == stem else f"{head}."])
        stem = head
    return ", ".join(f"{head}{a}" if a == b else f"{head}{a}-{b}" for a, b, head in runs)


class Planner:
    """Fills a budget with results of a profile, those that save the most time a byte first.

    A result is in memory from its block's forward pass to its recomputation, so each is held against what is left at
    each point between. Blocks that come last in the forward pass are the first to give memory back, before gradients
    have grown: of equals they go first.
    """

    def __init__(self, profile, names, budget, base, scale=1.0, may_be_whole=lambda key: True, host=(0, 0.0)):
        """scale: of a batch's size to the profile's. base: bytes in use when a step starts.

        host: what the host's memory may hold, and how many bytes are copied there in a millisecond.
        """
        self.profile, self.names, self.budget, self.scale = profile, names, budget, scale
        self.host_bytes, self.host_rate = host
        self.used = [base + point for point in profile.points]
        self.options = {
            key: _Options(call, scale, may_be_whole(key))
            for key, call in profile.calls.items()
            if call.backward_point is not None
        }

    def plan(self, counted):
        """The better of two orders: of equal blocks the last first, or the last only after all others."""
        keys = sorted(self.options, key=lambda key: -self.profile.calls[key].forward_point)
        plans = [self._filled(order, counted) for order in (keys, keys[1:] + keys[:1])]
        return max(plans, key=lambda plan: plan.saved_ms)

    def _filled(self, order, counted):
        used, rank = list(self.used), {key: place for place, key in enumerate(order)}
        states = {key: _State(self.options[key]) for key in order}
        waiting = [(-step.value, rank[key], step.number, step, 0) for key in order for step in states[key].results]
        waiting += [whole for key in order for whole in states[key].offers(rank[key])]
        heapq.heapify(waiting)
        while waiting:
            _, place, _, step, version = heapq.heappop(waiting)
            key = order[place]
            state = states[key]
            if state.is_current(step, version) and self._takes(used, self.profile.calls[key], step):
                state.apply(step)
                for whole in state.offers(place):
                    heapq.heappush(waiting, whole)
        if self.host_bytes:
            self._send(used, states)
        blocks = {key: self._block(key, states.get(key)) for key in self.profile.calls}
        total = sum(call.ms for call in self.profile.calls.values())
        return Plan(self.budget, max(used, default=0), total * self.scale, blocks, counted)

    def _takes(self, used, call, step):
        """Whether a step's bytes fit wherever they are in memory; they are noted if so."""
        first, last = call.forward_point, call.backward_point
        if step.bytes > 0 and any(used[point] + step.bytes > self.budget for point in range(first, last)):
            return False
        if step.extra > 0 and used[last] + step.extra > self.budget:
            return False
        for point in range(first, last):
            used[point] += step.bytes
        used[last] += step.extra
        return True

    def _send(self, used, states):
        """Keeps in the host's memory what did not fit, of the first blocks first: they have the most time for it.

        A result is on the GPU until it has been copied, and again from the recomputation of the block behind its own.
        How long a block's forward pass takes is told by its recomputation, which leaves a product out.
        """
        calls = self.profile.calls
        order = sorted(states, key=lambda key: calls[key].forward_point)
        starts, clock = [], 0.0
        for key in order:
            starts.append(clock)
            clock += calls[key].ms * self.scale
        left, is_free_at = self.host_bytes, 0.0
        for place, key in enumerate(order):
            state = states[key]
            for step in sorted(state.results, key=lambda step: -step.value):
                if state.is_whole or step.number in state.numbers or step.bytes > left:
                    continue
                done = max(is_free_at, starts[place]) + step.bytes / self.host_rate
                last = next((i for i in range(place, len(order)) if starts[i] >= done), None)
                if last is None or not self._fits_between(used, calls[key], calls[order[last]].forward_point, step):
                    continue
                is_free_at, left = done, left - step.bytes
                state.send(step)

    def _fits_between(self, used, call, sent, step):
        """Whether a result fits until it is sent and from when it is fetched; it is noted if so."""
        back = call.backward_point
        needs = {point: step.bytes for point in [*range(call.forward_point, sent), max(back - 1, sent)]}
        needs[back] = step.extra
        if any(used[point] + count > self.budget for point, count in needs.items() if count):
            return False
        for point, count in needs.items():
            used[point] += count
        return True

    def _block(self, key, state):
        name = self.names.get(key[0], "block")
        if state is None:
            return BlockPlan(name)
        call = self.profile.calls[key]
        results = call.results
        numbers = frozenset() if state.is_whole else frozenset(state.numbers)
        labels, hosted = (
            tuple(OrderedDict.fromkeys(results[number].label for number in sorted(some)))
            for some in (numbers, state.hosted)
        )
        # Timed one by one, results may take longer than together.
        ms = min(state.ms, call.ms * self.scale)
        return BlockPlan(
            name, numbers, labels, state.is_whole, state.bytes, ms, frozenset(state.hosted), hosted, state.hosted_bytes,
        )  # fmt: skip


@dataclass(frozen=True)
class _Step:
    """One more result of a block that is kept, or its whole graph (number -1) instead of what it keeps."""

    number: int
    bytes: int
    # Where its recomputation is under way: what the backward pass would not hold anyway.
    extra: int
    ms: float

    @property
    def value(self):
        return self.ms / self.bytes if self.bytes > 0 else float("inf")


WHOLE = -1


class _Options:
    """What may be kept of a call, with bytes of the batch at hand."""

    def __init__(self, call, scale, may_be_whole):
        # Where the device waits for the host, a kernel less does not help; a recomputation less does.
        waits = call.host_ms > _HOST_BOUND * call.ms
        self.results = [
            _Step(
                number, int(result.bytes * scale), 0 if result.is_held else int(result.bytes * scale), result.ms * scale
            )
            for number, result in enumerate(call.results)
            if result.is_needed and result.may_be_kept and result.bytes and result.ms > 0 and not waits
        ]
        self.whole = None
        if may_be_whole and call.graph_bytes is not None:
            self.whole = _Step(WHOLE, int(call.graph_bytes * scale), 0, call.ms * scale)


class _State:
    """What a call keeps so far."""

    def __init__(self, options):
        self.results, self.whole, self.version = options.results, options.whole, 0
        self.numbers, self.is_whole, self.bytes, self.extra, self.ms = set(), False, 0, 0, 0.0
        self.hosted, self.hosted_bytes = set(), 0

    def send(self, step):
        self.hosted.add(step.number)
        self.hosted_bytes, self.ms = self.hosted_bytes + step.bytes, self.ms + step.ms

    def offers(self, place):
        """The change to the whole graph, as the heap takes it. It is void when the state has changed."""
        if self.whole is None or self.is_whole:
            return
        change = _Step(WHOLE, self.whole.bytes - self.bytes, -self.extra, max(self.whole.ms - self.ms, 0.0))
        if change.ms > 0:
            yield -change.value, place, WHOLE, change, self.version

    def is_current(self, step, version):
        return not self.is_whole and (step.number != WHOLE or version == self.version)

    def apply(self, step):
        self.version += 1
        self.is_whole = step.number == WHOLE
        self.numbers.add(step.number)
        self.bytes, self.extra, self.ms = self.bytes + step.bytes, self.extra + step.extra, self.ms + step.ms
