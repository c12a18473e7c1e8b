"""Neighbourhood attention as modules and as a function."""

import dataclasses
import math

from typing import Optional

import torch
import torch.nn as nn

from liger_kernel.ops.fused_neighborhood_attention import LigerFusedNeighborhoodAttentionFunction


def liger_fused_neighborhood_attention(
    query, key, value, kernel_size: int = 7, dilation: int = 1, scale: float = None
):
    """Attention of each position to `kernel_size` around it, `dilation` apart, of (B, heads, S, D)."""
    return LigerFusedNeighborhoodAttentionFunction.apply(query, key, value, kernel_size, dilation, scale)


class LigerFusedNeighborhoodAttention(nn.Module):
    """Projections and neighbourhood attention of `num_heads` heads between them, of (B, S, hidden_size)."""

    def __init__(
        self, hidden_size: int, num_heads: int, kernel_size: int = 7, dilation: int = 1, bias: bool = True,
        dropout: float = 0.0, scale: Optional[float] = None,
    ):  # fmt: skip
        super().__init__()
        if hidden_size % num_heads != 0:
            raise ValueError(f"hidden_size ({hidden_size}) must be divisible by num_heads ({num_heads})")
        if kernel_size <= 0:
            raise ValueError(f"kernel_size ({kernel_size}) must be positive")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size ({kernel_size}) must be odd")
        if dilation < 1:
            raise ValueError(f"dilation ({dilation}) must be positive")
        self.hidden_size, self.num_heads, self.head_dim = hidden_size, num_heads, hidden_size // num_heads
        self.kernel_size, self.dilation = kernel_size, dilation
        self.scale = scale if scale is not None else 1.0 / math.sqrt(self.head_dim)
        self.dropout_p = dropout
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.out_proj = nn.Linear(hidden_size, hidden_size, bias=bias)
        self.dropout = nn.Dropout(dropout) if dropout > 0.0 else None

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        if attention_mask is not None:
            raise NotImplementedError("Attention mask is not yet supported in LigerFusedNeighborhoodAttention")
        heads = (*hidden_states.shape[:-1], self.num_heads, self.head_dim)
        query, key, value = (
            project(hidden_states).view(heads).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = liger_fused_neighborhood_attention(query, key, value, self.kernel_size, self.dilation, self.scale)
        attended = attended.transpose(1, 2).reshape(hidden_states.shape)
        return self.out_proj(attended if self.dropout is None else self.dropout(attended))

    def extra_repr(self) -> str:
        return (
            f"hidden_size={self.hidden_size}, num_heads={self.num_heads}, head_dim={self.head_dim}, "
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, scale={self.scale}, dropout={self.dropout_p}"
        )


class LigerFusedNeighborhoodAttentionLayer(nn.Module):
    """x + attention(LayerNorm(x))."""

    def __init__(
        self, hidden_size: int, num_heads: int, kernel_size: int = 7, dilation: int = 1, bias: bool = True,
        dropout: float = 0.0, layer_norm_eps: float = 1e-5, scale: Optional[float] = None,
    ):  # fmt: skip
        super().__init__()
        self.attention = LigerFusedNeighborhoodAttention(
            hidden_size, num_heads, kernel_size, dilation, bias, dropout, scale
        )
        self.layer_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.dropout = nn.Dropout(dropout) if dropout > 0.0 else None

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        attended = self.attention(self.layer_norm(hidden_states), attention_mask)
        return hidden_states + (attended if self.dropout is None else self.dropout(attended))


@dataclasses.dataclass(eq=False)
class LigerFusedNeighborhoodAttentionConfig:
    """The sizes and options of a `LigerFusedNeighborhoodAttentionLayer`, by name."""

    hidden_size: int = 768
    num_heads: int = 12
    kernel_size: int = 7
    dilation: int = 1
    bias: bool = True
    dropout: float = 0.0
    layer_norm_eps: float = 1e-5
    scale: Optional[float] = None

    def to_dict(self):
        return dataclasses.asdict(self)
