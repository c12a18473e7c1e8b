"""Clipping by the norm of the step before, where a step's own gradients are never there together."""

import torch

from liger_kernel.optim._states import local


class LastNorm:
    """The norm of the last step's gradients, on the device, and what this step's are multiplied by."""

    def __init__(self, most):
        self._most, self._factor = most, None
        # Sums of squares, by where they must still be added up over ranks.
        self._squares = {}

    def factor(self, device):
        """One fp32; None in the first step."""
        return None if self._factor is None else self._factor.to(device)

    def add(self, gradient):
        """Takes a gradient of this step in."""
        own = local(gradient)
        where = None if own is gradient else (gradient.device_mesh, tuple(gradient.placements))
        square = torch.linalg.vector_norm(own, dtype=torch.float32).square()
        self._squares.setdefault(where, []).append(square)

    def end_step(self):
        """Makes the norm of the gradients that were taken in."""
        if not self._squares:
            return
        sums = []
        for where, squares in self._squares.items():
            total = torch.stack(squares).sum()
            if where is not None:
                mesh, placements = where
                for dimension, placement in enumerate(placements):
                    if placement.is_shard():
                        torch.distributed.all_reduce(total, group=mesh.get_group(dimension))
            sums.append(total)
        norm = torch.stack([s.to(sums[0].device) for s in sums]).sum().sqrt()
        # Of a norm that is no number no factor follows.
        factor = torch.where(norm.isfinite(), self._most / (norm + 1e-6), 1)
        self._factor = factor.clamp(max=1).reshape(1)
        self._squares = {}

    def saved(self):
        """The factor as a number, for a checkpoint."""
        return None if self._factor is None else float(self._factor)

    def restore(self, factor):
        """Takes a saved factor over."""
        self._factor, self._squares = None if factor is None else torch.tensor([factor]), {}
