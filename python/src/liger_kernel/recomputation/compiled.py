"""What a plan is to torch.compile, which traces a block once and knows nothing of steps."""

import functools

from torch.utils.checkpoint import CheckpointPolicy
from torch.utils.checkpoint import checkpoint
from torch.utils.checkpoint import create_selective_checkpoint_contexts

from liger_kernel._operation import is_tracing
from liger_kernel._outside import outside_graphs
from liger_kernel.recomputation.operators import KEPT
from liger_kernel.recomputation.operators import KINDS

_MEASURES = (
    "recompute() measures the first step uncompiled and plans as the second begins; with fullgraph=True train two "
    "steps with the model itself, and compile it after them"
)
_NO_HOST = (
    "recompute(host_budget=...) keeps results of blocks that run as PyTorch's own operations, and found a block under "
    "torch.compile, whose graph holds them. Leave host_budget out, or do not compile"
)


class BlockFunction:
    """The function of one block: eager calls go to the `Recomputation` of the model.

    While torch.compile traces, the plan is written into the graph, whose partitioner keeps what the policy says. Until
    there is a plan, calls run uncompiled, as they are measured. A batch that is larger than the measured one is traced
    as under gradient checkpointing.
    """

    def __init__(self, recomputation):
        self.recomputation = recomputation
        self.is_planned, self.is_whole, self.contexts, self.most_elements = False, False, None, 0

    def __call__(self, function, *arguments, **options):
        if not is_tracing():
            return self.recomputation(function, *arguments, **options)
        if self.recomputation.host_bytes:
            _refuse_host()
        if not self.is_planned:
            return _uncompiled(self.recomputation, function, *arguments, **options)
        if arguments[0].numel() > self.most_elements:
            return checkpoint(function, *arguments, use_reentrant=False, **options)
        if self.is_whole:
            return function(*arguments, **options)
        if self.contexts is None:
            return checkpoint(function, *arguments, use_reentrant=False, **options)
        return checkpoint(function, *arguments, use_reentrant=False, context_fn=self.contexts, **options)

    def take(self, planned, most_elements):
        """Takes the plan of the block's first call in a step."""
        self.is_whole, self.most_elements = planned.is_whole, most_elements
        self.contexts = _contexts(planned.numbers) if planned.numbers else None
        self.is_planned = True


@outside_graphs(_MEASURES)
def _uncompiled(recomputation, function, *arguments, **options):
    return recomputation(function, *arguments, **options)


@outside_graphs(_NO_HOST)
def _refuse_host():
    raise ValueError(_NO_HOST)


@functools.cache
def _contexts(numbers):
    """What makes the modes of a policy; one for all blocks that keep the same, so that torch compiles these once."""

    def contexts():
        count = 0

        def policy(context, operator, *arguments, **options):
            nonlocal count
            if KINDS[operator] not in KEPT:
                return CheckpointPolicy.PREFER_RECOMPUTE
            number, count = count, count + 1
            return CheckpointPolicy.MUST_SAVE if number in numbers else CheckpointPolicy.PREFER_RECOMPUTE

        return create_selective_checkpoint_contexts(policy)

    return contexts
