"""The squared rectifier as a module."""

from torch import nn

from liger_kernel.ops.relu_squared import LigerReLUSquaredFunction


class LigerReLUSquared(nn.Module):
    """max(x, 0)^2."""

    def forward(self, x):
        return LigerReLUSquaredFunction.apply(x)
