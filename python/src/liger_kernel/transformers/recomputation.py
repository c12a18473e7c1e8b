"""Recomputation by budget under transformers' Trainer."""

import warnings

from transformers import TrainerCallback

from liger_kernel.recomputation import recompute
from liger_kernel.recomputation.budget import parsed
from liger_kernel.recomputation.budget import parsed_of_host

__all__ = ["LigerRecomputeCallback", "recompute"]


class LigerRecomputeCallback(TrainerCallback):
    """Calls `recompute` on the Trainer's model when training begins: `recomputation` is what it returns.

    It takes the place of `gradient_checkpointing=True`, which may be set or not. Of `gradient_checkpointing_kwargs` it
    takes use_reentrant=False, which is what it does; it raises ValueError for others.
    """

    def __init__(self, budget="auto", verbose=True, host_budget=0):
        self.budget, self.verbose, self.host_budget = parsed(budget), verbose, parsed_of_host(host_budget)
        self.recomputation, self._steps, self._has_warned = None, 0, False

    def on_train_begin(self, args, state, control, model=None, **others):
        for name in ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"):
            options = dict(getattr(args, name, None) or {})
            if options.pop("use_reentrant", False) or options:
                raise ValueError(
                    f"{name}={getattr(args, name)}: LigerRecomputeCallback decides itself what is kept, by its budget. "
                    "Leave out all but use_reentrant=False, or the callback"
                )
        self.recomputation = recompute(model, self.budget, self.verbose, self.host_budget)
        self._steps = 0

    def on_step_end(self, args, state, control, **others):
        """Warns once where steps pass and blocks do not run by the budget."""
        began, self._steps = self.recomputation.steps - self._steps, self.recomputation.steps
        if state.global_step >= 2 and self.recomputation.plan is None and not began and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                "LigerRecomputeCallback has no effect: no block of the model ran by its budget in this step. Something "
                "switched gradient checkpointing off, or replaced its function, after training began",
                stacklevel=2,
            )
