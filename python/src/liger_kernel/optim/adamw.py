"""AdamW in one kernel a tensor, with states in 8 bits, weights without masters, and updates as gradients arrive."""

import math

import torch

from torch._compile import _disable_dynamo

from liger_kernel.optim._bundle import Bundle
from liger_kernel.optim._kernel import Numbers
from liger_kernel.optim._kernel import update
from liger_kernel.optim._norm import LastNorm
from liger_kernel.optim._states import ROUNDINGS
from liger_kernel.optim._states import local
from liger_kernel.optim._states import make

_TYPES = (torch.float32, torch.bfloat16, torch.float16)


class AdamW(torch.optim.Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): PyTorch's formula and defaults, in fp32.

    params, lr, betas, eps, weight_decay: as of `torch.optim.AdamW`; groups may differ in all of them.
    bits: of the states: 8, with an fp32 scale for each 256 elements, or 32. Tensors of fewer than 4,096 elements, or
        whose size (of a shard, on each rank) is no multiple of 256, keep 32.
    rounding: how 16-bit weights learn from updates smaller than their last bit. "stochastic": bf16 weights are rounded
        at random, right on average. "master": an fp32 copy of each weight is updated, and rounded. "nearest": neither;
        such updates are lost. f16 weights take the last two only.
    update_in_backward: each weight is updated, and its gradient freed, as soon as the backward pass has made it. Then
        `step` ends a step, gradients cannot be accumulated over several backward passes, and nobody sees them together.
    max_norm: with `update_in_backward`, gradients are multiplied by min(1, max_norm / norm) with the norm of the step
        before, of all gradients, as this step's is known too late. The first step is not clipped.
    seed: of the random numbers, which depend on it, the step, and a weight's place in its tensor: a resumed run has the
        same.

    Raises ValueError for options out of range, TypeError for weights that are not f32, bf16 or f16.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, *, bits=8, rounding="stochastic",
        update_in_backward=False, max_norm=None, seed=0,
    ):  # fmt: skip
        if bits not in (8, 32):
            raise ValueError(f"bits is {bits!r}. Give 8 or 32")
        if rounding not in ROUNDINGS:
            raise ValueError(f"rounding is {rounding!r}. Give one of {', '.join(ROUNDINGS)}")
        if max_norm is not None and not update_in_backward:
            raise ValueError(
                "max_norm is for update_in_backward. Without it clip gradients with torch.nn.utils.clip_grad_norm_"
            )
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"max_norm is {max_norm}. Give a number above 0, or None")
        self.bits, self.rounding, self.seed = bits, rounding, int(seed)
        self.update_in_backward, self._norm = update_in_backward, LastNorm(max_norm) if max_norm is not None else None
        self._numbers, self._bundles, self._hooks, self._updated = {}, None, [], set()
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def add_param_group(self, param_group):
        """As torch's; new parameters count on behind the others."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check(group)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        self._bundles = None
        for p in group["params"]:
            self._numbers[p] = len(self._numbers)
            if self.update_in_backward and p.requires_grad:
                self._hooks.append(p.register_post_accumulate_grad_hook(self._arrived))

    def _check(self, group):
        (beta1, beta2), lr, eps = group["betas"], float(group["lr"]), group["eps"]
        if not (0 <= beta1 < 1 and 0 <= beta2 < 1 and eps >= 0 and lr >= 0 and math.isfinite(group["weight_decay"])):
            raise ValueError(
                f"AdamW takes betas from 0 to below 1, and lr and eps of at least 0; found betas {beta1, beta2}, "
                f"lr {lr}, eps {eps}, weight_decay {group['weight_decay']}"
            )
        for p in group["params"]:
            if p.dtype not in _TYPES:
                raise TypeError(f"AdamW updates weights of float32, bfloat16 or float16; found {p.dtype}. Convert them")
            if p.dtype == torch.float16 and self.rounding == "stochastic":
                raise ValueError("float16 weights are not rounded at random. Give rounding='master', or use bfloat16")

    # Steps

    @_disable_dynamo
    @torch.no_grad()
    def step(self, closure=None):
        """Updates every parameter that has a gradient; with `update_in_backward`, ends the step that it began.

        Returns what `closure` does, which computes the loss again. Raises RuntimeError for a closure with
        `update_in_backward`.
        """
        loss = None
        if closure is not None:
            if self.update_in_backward:
                raise RuntimeError("a closure's gradients would update weights within it. Call backward, then step()")
            with torch.enable_grad():
                loss = closure()
        numbers = Numbers(self.seed)
        for group, bundles in zip(self.param_groups, self._all_bundles()):
            waiting = {p for p in group["params"] if p.grad is not None and p not in self._updated}
            for bundle in bundles:
                if waiting.issuperset(bundle.params) and bundle.steps_together(self.state):
                    bundle.update(group, self._states(bundle.params), numbers, self.rounding)
                    waiting.difference_update(bundle.params)
            for p in group["params"]:
                if p in waiting:
                    self._update(p, group, numbers)
        if self._norm is not None:
            self._norm.end_step()
        self._updated.clear()
        return loss

    def _update(self, p, group, numbers, factor=None):
        (state,) = self._states([p])
        state["step"] += 1
        update(p, p.grad, state, numbers.of(group, state["step"], p.device), self._number(p), self.rounding, factor)

    def _states(self, params):
        """The states of parameters, made where there are none."""
        for p in params:
            if not self.state[p]:
                self.state[p].update(make(p, self.bits, self.rounding))
        return [self.state[p] for p in params]

    def _number(self, p):
        """What tells a parameter from others in random numbers, on its device."""
        found = self._numbers[p]
        if isinstance(found, int):
            found = self._numbers[p] = torch.tensor([[found, _first_place(p)]], device=local(p).device)
        return found

    def _all_bundles(self):
        """Small parameters that are updated together, by group."""
        if self._bundles is None:
            for p in self._numbers:
                self._number(p)
            alone, bits = self.update_in_backward, self.bits
            self._bundles = [[] if alone else Bundle.of(g["params"], self._numbers, bits) for g in self.param_groups]
            for group, bundles in zip(self.param_groups, self._bundles):
                for bundle in bundles:
                    bundle.adopt(self._states(bundle.params))
        return self._bundles

    # Updates inside the backward pass

    @_disable_dynamo
    @torch.no_grad()
    def _arrived(self, p):
        """Updates a parameter whose gradient the backward pass has made, and frees the gradient."""
        if p in self._updated:
            raise RuntimeError(
                "a weight has a second gradient in one step. With update_in_backward each backward pass is followed by "
                "step(): gradients cannot be accumulated. Give update_in_backward=False where they must be"
            )
        if local(p) is p and torch.distributed.is_available() and torch.distributed.is_initialized():
            if torch.distributed.get_world_size() > 1:
                raise RuntimeError(
                    "update_in_backward needs gradients that are complete when they arrive. Of parameters that each "
                    "rank has whole, as under DistributedDataParallel, they are averaged afterwards. Use "
                    "fully_shard, or update_in_backward=False"
                )
        self._updated.add(p)
        factor = None
        if self._norm is not None:
            factor = self._norm.factor(p.device)
            self._norm.add(p.grad)
        group = next(g for g in self.param_groups if any(p is q for q in g["params"]))
        self._update(p, group, Numbers(self.seed), factor)
        p.grad = None

    # Copies and checkpoints

    def __getstate__(self):
        """What copies and pickles take along, to which torch's own adds nothing.

        Raises RuntimeError with `update_in_backward`, as what makes the updates hangs on the parameters.
        """
        if self.update_in_backward:
            raise RuntimeError(
                "an AdamW that updates in the backward pass belongs to its parameters and cannot be copied. Make "
                "another for the copies of the parameters, and give it this one's state_dict()"
            )
        return {**super().__getstate__(), "bits": self.bits, "rounding": self.rounding, "seed": self.seed}

    def __setstate__(self, state):
        """Torch calls it to load a state_dict too, which then has no options."""
        super().__setstate__(state)
        if "bits" in state:
            self.update_in_backward, self._norm, self._hooks, self._updated = False, None, [], set()
            params = [p for group in self.param_groups for p in group["params"]]
            self._numbers, self._bundles = {p: number for number, p in enumerate(params)}, None

    def state_dict(self):
        """As torch's: states by parameter as they are stored, and the options of groups."""
        result = super().state_dict()
        if self._norm is not None and result["param_groups"]:
            result["param_groups"][0]["clip_factor"] = self._norm.saved()
        return result

    @torch.no_grad()
    def load_state_dict(self, state_dict):
        """Takes over a state_dict, bit for bit.

        Raises ValueError where it was saved with other `bits` or `rounding`, or for other parameters.
        """
        saved = state_dict["state"]
        super().load_state_dict({**state_dict, "state": {}})
        factor = self.param_groups[0].pop("clip_factor", None) if self.param_groups else None
        if self._norm is not None:
            self._norm.restore(factor)
        self._bundles = None
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for number, p in zip(numbers, params):
            if number in saved:
                self._load(p, saved[number])

    def _load(self, p, saved):
        state = make(p, self.bits, self.rounding)
        if state.keys() != saved.keys() or any(
            isinstance(v, torch.Tensor) and (v.shape != saved[k].shape or v.dtype != saved[k].dtype)
            for k, v in state.items()
        ):
            raise ValueError(
                f"the saved state of a parameter of shape {tuple(p.shape)} has {_described(saved)}; these options make "
                f"{_described(state)}. Give bits and rounding as they were"
            )
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                value.copy_(saved[key])
            else:
                state[key] = int(saved[key])
        self.state[p].clear()
        self.state[p].update(state)


def _described(state):
    kinds = [f"{k} ({str(v.dtype).removeprefix('torch.')})" for k, v in state.items() if isinstance(v, torch.Tensor)]
    return ", ".join(kinds) or "nothing"


def _first_place(p):
    """Where a shard begins in its tensor; where it is not one run of it, at its first element."""
    if local(p) is p:
        return 0
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    _, offset = compute_local_shape_and_global_offset(p.shape, p.device_mesh, p.placements)
    return sum(start * stride for start, stride in zip(offset, p.stride()))
