"""Small parameters that are updated together: a launch for each would take longer than the work."""

import torch

from liger_kernel.optim._kernel import run
from liger_kernel.optim._states import BLOCK
from liger_kernel.optim._states import flat
from liger_kernel.optim._states import has_codes
from liger_kernel.optim._states import local

# The most elements of a small parameter, and the fewest that are worth the copies.
_MOST, _FEWEST = 65_536, 4


class Bundle:
    """Parameters whose states lie in one array, each from a multiple of a block on.

    Gradients, and weights, are copied into such arrays and back by one launch each, however many there are.
    """

    @classmethod
    def of(cls, params, tensors, bits):
        """The bundles of a group's parameters; those that are in none are updated alone.

        tensors: by parameter, its number and first place. bits: of states.
        """
        kinds = {}
        for p in params:
            own = local(p)
            if p.requires_grad and 0 < own.numel() <= _MOST and own.is_contiguous():
                kinds.setdefault((p.dtype, own.device, has_codes(p, bits)), []).append(p)
        return [cls(kind, tensors) for kind in kinds.values() if len(kind) >= _FEWEST]

    def __init__(self, params, tensors):
        self.params = params
        own = [local(p) for p in params]
        blocks = [-(-t.numel() // BLOCK) for t in own]
        self._counts, self._device, self._dtype = [t.numel() for t in own], own[0].device, own[0].dtype
        self._firsts = [BLOCK * sum(blocks[:i]) for i in range(len(blocks))]
        self._blocks = sum(blocks)
        rows = torch.cat([tensors[p].cpu() - torch.tensor([[0, first]]) for p, first in zip(params, self._firsts)])
        self._tensors = rows.repeat_interleave(torch.tensor(blocks), dim=0).to(self._device)
        self._states = None

    def steps_together(self, states):
        """Whether all parameters have taken as many steps."""
        return len({states[p]["step"] for p in self.params}) == 1

    def adopt(self, states):
        """Moves the states of the parameters into arrays that they share."""
        self._states = {}
        for key in states[0]:
            if key == "step":
                continue
            one = local(states[0][key])
            is_scale = key.endswith("_scale")
            shared = torch.zeros(
                self._blocks if is_scale else self._blocks * BLOCK, dtype=one.dtype, device=self._device
            )
            views = [
                shared[first // BLOCK :][: -(-count // BLOCK)] if is_scale else shared[first:][:count]
                for first, count in zip(self._firsts, self._counts)
            ]
            torch._foreach_copy_(views, [flat(local(state[key])) for state in states])
            for state, view in zip(states, views):
                local(state[key]).set_(view.view(local(state[key]).shape))
            self._states[key] = shared

    def update(self, group, states, numbers, rounding):
        """One step of all parameters."""
        for state in states:
            state["step"] += 1
        weights = [flat(local(p)) for p in self.params]
        gradients = [flat(local(p.grad).contiguous()) for p in self.params]
        gradient, _ = self._gathered(gradients)
        if "master" in self._states:
            weight, places = self._empty(self._dtype)
        else:
            weight, places = self._gathered(weights)
        run(weight, gradient, self._states, numbers.of(group, states[0]["step"], self._device), self._tensors, rounding)
        torch._foreach_copy_(weights, places)

    def _empty(self, dtype):
        array = torch.zeros(self._blocks * BLOCK, dtype=dtype, device=self._device)
        return array, [array[first:][:count] for first, count in zip(self._firsts, self._counts)]

    def _gathered(self, tensors):
        array, places = self._empty(tensors[0].dtype)
        torch._foreach_copy_(places, tensors)
        return array, places
