"""Recomputation by budget under transformers' Trainer."""

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
        self.recomputation = None

    def on_train_begin(self, args, state, control, model=None, **others):
        for name in ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs"):
            options = dict(getattr(args, name, None) or {})
            if options.pop("use_reentrant", False) or options:
                raise ValueError(
                    f"{name}={getattr(args, name)}: LigerRecomputeCallback decides itself what is kept, by its budget. "
                    "Leave out all but use_reentrant=False, or the callback"
                )
        self.recomputation = recompute(model, self.budget, self.verbose, self.host_budget)
