"""Group normalisation as a module."""

import torch

from torch import nn

from liger_kernel.ops.group_norm import LigerGroupNormFunction


class LigerGroupNorm(nn.Module):
    """Group normalisation of (batch, num_channels, ...).

    bias: whether the bias starts as random numbers instead of zeros.
    """

    def __init__(self, num_channels, num_groups, eps=1e-6, bias=False, init_fn="ones"):
        super().__init__()
        assert init_fn in ("ones", "zeros"), f"init_fn must be either 'ones' or 'zeros', got {init_fn}"
        assert num_channels % num_groups == 0, (
            f"Number of channels {num_channels} must be divisible by num_groups {num_groups}"
        )
        self.num_channels, self.num_groups = num_channels, num_groups
        self.eps = self.variance_epsilon = eps
        self.weight = nn.Parameter((torch.ones if init_fn == "ones" else torch.zeros)(num_channels))
        self.bias = nn.Parameter((torch.randn if bias else torch.zeros)(num_channels))

    def forward(self, hidden_states):
        assert hidden_states.dim() >= 3, f"Input must have at least 3 dimensions, got {hidden_states.dim()}"
        assert hidden_states.size(1) == self.num_channels, (
            f"Input tensor must have {self.num_channels} channels, got {hidden_states.size(1)}"
        )
        return LigerGroupNormFunction.apply(
            hidden_states, self.weight, self.bias, self.num_channels, self.num_groups, self.variance_epsilon
        )

    def extra_repr(self):
        return f"{self.num_channels}, {self.num_groups}, eps={self.variance_epsilon}"
