"""Multi-token attention as a module and as a function."""

import math

import torch
import torch.nn as nn

from torch.nn.modules.utils import _pair

from liger_kernel.ops.multi_token_attention import LigerMultiTokenAttentionFunction


def liger_multi_token_attention(
    scores, weight, bias=None, stride: int = 1, padding: int = 0, dilation: int = 1, groups: int = 1,
    sparse: bool = False,
):  # fmt: skip
    """conv2d of the causal softmax of scores (B, C, L, L), or sparsemax, and 0 for keys after their query."""
    return LigerMultiTokenAttentionFunction.apply(scores, weight, bias, stride, padding, dilation, groups, sparse)


class LigerMultiTokenAttention(nn.Module):
    """`liger_multi_token_attention` with a weight and a bias of its own, which start as those of a convolution."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0,
        dilation: int = 1, groups: int = 1, bias: bool = True, sparse: bool = False,
    ):  # fmt: skip
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)
        self.groups, self.sparse = groups, sparse
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return liger_multi_token_attention(
            scores, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups, self.sparse
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={self.bias is not None}, sparse={self.sparse}"
        )
