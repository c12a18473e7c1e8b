"""The squared rectifier as a module."""

import torch.nn.functional as F

from torch import nn

from liger_kernel.ops.relu_squared import LigerReLUSquaredFunction
from liger_kernel.transformers.fallback import takes


class LigerReLUSquared(nn.Module):
    """max(x, 0)^2."""

    def forward(self, x):
        return LigerReLUSquaredFunction.apply(x) if takes(x) else F.relu(x).square()
