"""PolyNorm as a module and as a function."""

import torch

from torch import nn

from liger_kernel.ops.poly_norm import LigerPolyNormFunction


def liger_poly_norm(X, W, B, eps=1e-6, in_place=True):
    """w0 n(x^3) + w1 n(x^2) + w2 n(x) + b with n(u) = u / sqrt(mean(u^2) + eps); `in_place` changes nothing."""
    return LigerPolyNormFunction.apply(X, W, B, eps, in_place)


class LigerPolyNorm(nn.Module):
    """PolyNorm over the last dimension; its three weights start at 1/3 and its bias at 1."""

    def __init__(self, eps=1e-6, in_place=True):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 1 / 3))
        self.bias = nn.Parameter(torch.tensor(1.0))
        self.variance_epsilon, self.in_place = eps, in_place

    def forward(self, hidden_states):
        return liger_poly_norm(hidden_states, self.weight, self.bias, self.variance_epsilon, self.in_place)

    def extra_repr(self):
        return f"weight_shape={tuple(self.weight.shape)}, eps={self.variance_epsilon}, in_place={self.in_place}"
