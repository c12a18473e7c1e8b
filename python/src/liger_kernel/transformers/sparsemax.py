"""Sparsemax as a module and as a function."""

import torch
import torch.nn as nn

from liger_kernel.ops.sparsemax import LigerSparsemaxFunction


class LigerSparsemax(nn.Module):
    """Sparsemax over a dimension (Martins and Astudillo, 2016)."""

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return LigerSparsemaxFunction.apply(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def liger_sparsemax(input, dim: int = -1):
    """The nearest distribution to `input` over a dimension."""
    return LigerSparsemaxFunction.apply(input, dim)
