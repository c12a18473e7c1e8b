"""Layers that transformers puts in place of a model's own: only `forward`, over the weights that the model has."""

import torch

from torch import nn

from .liger.ops.geglu import LigerGELUMulFunction
from .liger.ops.rms_norm import rms_norm
from .liger.ops.rope import LigerRopeFunction
from .liger.ops.swiglu import LigerSiLUMulFunction
from .liger.ops.tiled_mlp import apply_tiled_mlp
from .losses import LigerForCausalLMLoss
from .losses import LigerForCausalLMLossLayer

__all__ = [
    "LigerForCausalLMLoss",
    "LigerForCausalLMLossLayer",
    "LigerGEGLUMLP",
    "LigerLinear",
    "LigerRMSNorm",
    "LigerSwiGLUMLP",
    "LigerTiledGEGLUMLP",
    "LigerTiledSwiGLUMLP",
    "liger_rotary_pos_emb",
    "liger_rotary_pos_emb_layer",
]


class LigerRMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + variance_epsilon) * weight over the last dimension, in x's type before the weight."""

    can_torch_compile = has_backward = True
    weight: torch.Tensor
    variance_epsilon: float

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return rms_norm(hidden_states, self.weight, self.variance_epsilon, 0.0, "llama")


class LigerLinear(nn.Module):
    """x weight^T + bias by shards of the sequence; a shard of x is all that the backward pass keeps of it."""

    can_torch_compile = has_backward = True
    weight: torch.Tensor
    bias: torch.Tensor | None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return apply_tiled_mlp(_linear, self, input, None) if input.dim() > 1 else _linear(self, input)


class LigerSwiGLUMLP(nn.Module):
    """down(silu(gate(x)) up(x))."""

    can_torch_compile = has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _swiglu(self, x)


class LigerGEGLUMLP(nn.Module):
    """down(gelu(gate(x)) up(x)), gelu in its tanh form."""

    can_torch_compile = has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _geglu(self, x)


class LigerTiledSwiGLUMLP(nn.Module):
    """`LigerSwiGLUMLP` by shards of the sequence, whose activations are computed again in the backward pass."""

    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return apply_tiled_mlp(_swiglu, self, x, None)


class LigerTiledGEGLUMLP(nn.Module):
    """`LigerGEGLUMLP` by shards of the sequence, whose activations are computed again in the backward pass."""

    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return apply_tiled_mlp(_geglu, self, x, None)


def liger_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1):
    """Rotated q and k, (B, heads, S, D), or (B, S, heads, D) with unsqueeze_dim=2."""
    return LigerRopeFunction.apply(q, k, cos, sin, None, unsqueeze_dim)


liger_rotary_pos_emb.can_torch_compile = True


class liger_rotary_pos_emb_layer(nn.Module):
    """`liger_rotary_pos_emb` as a layer."""

    can_torch_compile = has_backward = True

    def forward(self, q, k, cos, sin, unsqueeze_dim=1):
        return liger_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim)


def _linear(module, x):
    return nn.functional.linear(x, module.weight, module.bias)


def _swiglu(module, x):
    return module.down_proj(LigerSiLUMulFunction.apply(module.gate_proj(x), module.up_proj(x)))


def _geglu(module, x):
    return module.down_proj(LigerGELUMulFunction.apply(module.gate_proj(x), module.up_proj(x)))
