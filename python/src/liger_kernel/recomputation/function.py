"""The function that Hugging Face's layers call to be checkpointed."""

from __future__ import annotations

import threading
import warnings
import weakref

from functools import partial

import torch

from torch.utils.checkpoint import checkpoint

from liger_kernel.recomputation.budget import parsed
from liger_kernel.recomputation.budget import parsed_of_host
from liger_kernel.recomputation.budget import resolved
from liger_kernel.recomputation.budget import text
from liger_kernel.recomputation.compiled import BlockFunction
from liger_kernel.recomputation.gauges import gauge_of
from liger_kernel.recomputation.hosting import Host
from liger_kernel.recomputation.hosting import bytes_per_ms
from liger_kernel.recomputation.keeping import HandingOut
from liger_kernel.recomputation.keeping import Keeping
from liger_kernel.recomputation.keeping import Kept
from liger_kernel.recomputation.keeping import Ledger
from liger_kernel.recomputation.measuring import Measurement
from liger_kernel.recomputation.measuring import Size
from liger_kernel.recomputation.planning import Planner

# Plans are made for what is in use when a step starts, rounded up to this, and for an eighth of a batch's size.
_BASE_STEP = 128 * 2**20
_SIZE_STEPS = 8
_COUNTED_ON_GPU = "the peak of all that PyTorch allocates on the GPU"
_COUNTED_ON_CPU = "what blocks keep beyond their inputs; PyTorch counts no more on the CPU"


class Recomputation:
    """Recomputation by budget of one model: `plan` says what it does, `kept` how many bytes are kept now and at most.

    A step is all calls of blocks from the first forward pass after a backward pass to the next. The first step of a
    size is measured; a batch that is larger, in all or in the length of its sequences, is measured too.
    """

    def __init__(self, budget="auto", verbose=True, host_budget=0):
        self.budget, self.verbose = parsed(budget), verbose
        self.host_bytes, self.host = parsed_of_host(host_budget), None
        # By the identity of a block.
        self.names, self.modules = {}, {}
        # Steps that began.
        self.is_removed, self.steps = False, 0
        self.forget()

    def forget(self):
        """Measures the next step anew: after a change of the model that what was measured does not show."""
        self.plan, self.kept = None, Ledger()
        self._step, self._profiles, self._plans = None, [], {}
        self._inside, self._has_warned = threading.local(), False

    def remove(self):
        """Leaves the model to its own gradient checkpointing, whose next switching on is Hugging Face's again."""
        self.is_removed = True
        self.forget()

    def __reduce__(self):
        # A copy of the model is measured by itself.
        return Recomputation, (self.budget, self.verbose, self.host_bytes)

    def __call__(self, function, *arguments, **options):
        if not torch.is_grad_enabled():
            return function(*arguments, **options)
        if self.is_removed or getattr(self._inside, "depth", 0):
            # A checkpoint in a checkpoint, which the outer one's plan covers.
            return checkpoint(function, *arguments, use_reentrant=False, **options)
        return self._next(_block_of(function), arguments)(function, *arguments, **options)

    def _next(self, block, arguments):
        """What runs this call of a block."""
        tensor = next((each for each in arguments if isinstance(each, torch.Tensor)), None)
        tensor = next(block.parameters(), torch.empty(0)) if tensor is None and block is not None else tensor
        if block is not None and self._module(id(block)) is not block:
            # A copy of a model comes without names.
            self.know(block, f"{type(block).__name__} {len(self.names)}")
        size = Size(tensor.numel(), tensor.shape[-2] if tensor.dim() > 1 else tensor.numel())
        if self._step is None or self._step.is_over:
            self._step = self._begin(size, tensor.device)
        return self._step.call(block, size)

    def _begin(self, size, device):
        self.steps += 1
        gauge = gauge_of(device)
        if self.host_bytes and not gauge.counts_memory:
            raise ValueError("host_budget keeps results of a GPU in the host's memory; found blocks on the CPU")
        if isinstance(self._step, _MeasuredStep):
            self._profiles.append(self._step.measurement.profile())
        fitting = [profile for profile in self._profiles if profile.size.holds(size)]
        if not fitting:
            return _MeasuredStep(self, Measurement(gauge, size))
        profile = min(fitting, key=lambda profile: profile.size.elements)
        self.plan = self._plan_for(profile, size, gauge, device)
        for (block, count), planned in self.plan.blocks.items():
            function = getattr(self._module(block), "_gradient_checkpointing_func", None)
            if isinstance(function, BlockFunction) and count == 0:
                function.take(planned, profile.calls[block, 0].size.elements)
        return _PlannedStep(self, self.plan, profile)

    def _plan_for(self, profile, size, gauge, device):
        base = -(-gauge.in_use() // _BASE_STEP) * _BASE_STEP
        eighths = -(-size.elements * _SIZE_STEPS // max(profile.size.elements, 1))
        key = id(profile), base, eighths
        if key not in self._plans:
            budget = resolved(self.budget, device)
            scale = min(eighths / _SIZE_STEPS, 1.0)
            host = self._host_of(device)
            planner = Planner(profile, self.names, budget, base, scale, self._may_be_whole, host)
            self._plans[key] = planner.plan(_COUNTED_ON_GPU if gauge.counts_memory else _COUNTED_ON_CPU)
            self._tell(self._plans[key])
        return self._plans[key]

    def _host_of(self, device):
        """What the host's memory may hold, and how fast it is reached."""
        if not self.host_bytes:
            return 0, 0.0
        self.host = self.host or Host(device)
        return self.host_bytes, bytes_per_ms(device)

    def _tell(self, plan):
        """Prints the first plan, and warns of the first that a budget is too small for."""
        if self.verbose and len(self._plans) == 1:
            print(plan, flush=True)
        if plan.expected_peak > plan.budget and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"recompute(): the budget is {text(plan.budget)}, and this model needs about "
                f"{text(plan.expected_peak)} with gradient checkpointing alone, so the budget will be exceeded. Give "
                "more, or use a smaller batch",
                stacklevel=2,
            )

    def _may_be_whole(self, key):
        """A block whose parts are gathered from other ranks must be recomputed on all ranks or on none."""
        module = self._module(key[0])
        return module is not None and not _is_sharded_inside(module)

    def _module(self, block):
        return self.modules[block]() if block in self.modules else None

    def know(self, block, name):
        """Takes the name that plans give a block."""
        self.names[id(block)], self.modules[id(block)] = name, weakref.ref(block)


class _Step:
    """Calls of a step so far, counted by block."""

    def __init__(self, owner):
        self.owner, self.counts, self.was_recomputed = owner, {}, False

    def key(self, block):
        count = self.counts.get(id(block), 0)
        self.counts[id(block)] = count + 1
        return id(block), count


class _MeasuredStep(_Step):
    def __init__(self, owner, measurement):
        super().__init__(owner)
        self.measurement = measurement

    @property
    def is_over(self):
        return self.was_recomputed

    def call(self, block, size):
        forward, backward = self.measurement.contexts(self.key(block), size, block)
        return _checkpointed(self, forward, backward)


class _PlannedStep(_Step):
    def __init__(self, owner, plan, profile):
        super().__init__(owner)
        self.plan, self.profile = plan, profile
        self.last = None

    @property
    def is_over(self):
        # Blocks that keep their whole graph are never recomputed.
        return self.was_recomputed or sum(self.counts.values()) >= len(self.plan.blocks)

    def call(self, block, size):
        key = self.key(block)
        planned, measured = self.plan.blocks.get(key), self.profile.calls.get(key)
        if planned is None or not measured.size.holds(size):
            return _checkpointed(self)
        if planned.is_whole:
            return _plainly
        if not planned.numbers and not planned.hosted:
            return _checkpointed(self)
        self.last = kept = Kept(
            planned.numbers, planned.bytes, self.owner.kept, self.owner.host, planned.hosted, self.last
        )
        return _checkpointed(self, Keeping(kept), HandingOut(kept))


def _plainly(function, *arguments, **options):
    return function(*arguments, **options)


def _checkpointed(step, forward=None, backward=None):
    """torch's checkpoint under modes for the forward pass and for its recomputation."""
    inside = step.owner._inside
    contexts = _Context(step, inside, forward, False), _Context(step, inside, backward, True)
    return partial(checkpoint, use_reentrant=False, context_fn=lambda: contexts)


class _Context:
    """A mode, in which other checkpoints are inner ones. A recomputation ends the step's forward passes."""

    def __init__(self, step, inside, mode, is_recomputation):
        self.step, self.inside, self.mode, self.is_recomputation = step, inside, mode, is_recomputation

    def __enter__(self):
        self.inside.depth = getattr(self.inside, "depth", 0) + 1
        if self.is_recomputation:
            self.step.was_recomputed = True
        if self.mode is not None:
            self.mode.__enter__()

    def __exit__(self, *error):
        self.inside.depth -= 1
        if self.mode is not None:
            self.mode.__exit__(*error)


def _is_sharded_inside(block):
    """Whether parts of a block gather their weights by themselves: under ZeRO-3, and FSDP of modules in it."""
    kinds = ("FullyShardedDataParallel", "FSDPModule")
    inner = (part for part in block.modules() if part is not block)
    return any(hasattr(p, "ds_id") for p in block.parameters()) or any(
        kind.__name__ in kinds for part in inner for kind in type(part).__mro__
    )


def _block_of(function):
    """The module whose forward a function is; None if it hides it."""
    while isinstance(function, partial):
        if function.args and isinstance(function.args[0], torch.nn.Module):
            return function.args[0]
        function = function.func
    owner = getattr(function, "__self__", function)
    return owner if isinstance(owner, torch.nn.Module) else None
