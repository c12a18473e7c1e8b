"""A step of AdamW over tensors, as the library's kernel takes it."""

import torch

from liger_kernel._operation import eager
from liger_kernel.optim._states import flat
from liger_kernel.optim._states import local

_step = eager("adamw_step")


class Numbers:
    """What a step's updates share: by options, step and device, one small copy to the device each."""

    def __init__(self, seed):
        self._seed, self._made = seed, {}

    def of(self, group, step, device):
        """[7] fp32 numbers and [3] counters, as `AdamW.step` of the library describes them."""
        (beta1, beta2), lr = group["betas"], float(group["lr"])
        key = (lr, beta1, beta2, group["eps"], group["weight_decay"], step, device)
        if key not in self._made:
            numbers = [
                1 - lr * group["weight_decay"], 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**step),
                (1 - beta2**step) ** 0.5, group["eps"],
            ]  # fmt: skip
            # Both at multiples of 16 bytes. From pinned memory the copy waits for nothing.
            words = torch.empty(12, dtype=torch.int32, pin_memory=device.type == "cuda")
            words[:7].view(torch.float32).copy_(torch.tensor(numbers, dtype=torch.float32))
            words[8:11] = torch.tensor([_signed(self._seed), _signed(self._seed >> 32), _signed(step)])
            words = words.to(device, non_blocking=True)
            self._made[key] = words[:7].view(torch.float32), words[8:11]
        return self._made[key]


def _signed(word):
    """The lower 32 bits, as a signed number."""
    word &= 0xFFFFFFFF
    return word - (1 << 32) if word >= 1 << 31 else word


def update(p, gradient, state, numbers, tensors, rounding, factor=None):
    """Updates a parameter and its state by a gradient.

    numbers: of `Numbers`. tensors: [1, 2] int64, the parameter's number and the place of its first element. factor: one
    fp32 that the gradient is multiplied by. Raises TypeError for a gradient that is not dense.
    """
    if gradient.layout is not torch.strided:
        raise TypeError(f"AdamW takes dense gradients; found one of layout {gradient.layout}. Use a dense layer")
    if getattr(gradient, "placements", None) != getattr(p, "placements", None):
        raise TypeError(
            f"a gradient is distributed as {getattr(gradient, 'placements', 'one tensor')}, its parameter as "
            f"{getattr(p, 'placements', 'one tensor')}. Redistribute the gradient"
        )
    own, gradient = local(p), _like(local(gradient), local(p))
    if own.numel() == 0:
        return
    states = {key: flat(local(value)) for key, value in state.items() if key != "step"}
    run(flat(own), flat(gradient), states, numbers, tensors, rounding, factor)


def run(parameter, gradient, states, numbers, tensors, rounding, factor=None):
    """The kernel over flat tensors."""
    numbers, counters = numbers
    _step(
        parameter, gradient, states["exp_avg"], states["exp_avg_sq"], states.get("exp_avg_scale"),
        states.get("exp_avg_sq_scale"), states.get("master"), numbers, counters, tensors, factor,
        rounding == "stochastic",
    )  # fmt: skip


def _like(gradient, p):
    """A gradient in the order in memory of its parameter."""
    if gradient.stride() == p.stride() or (gradient.is_contiguous() and p.is_contiguous()):
        return gradient
    return torch.empty_like(p, dtype=gradient.dtype).copy_(gradient)
