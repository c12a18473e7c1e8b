"""Gated feed-forward modules with SiLU, in the layouts of the model families."""

import torch.nn.functional as F

from torch import nn

from liger_kernel.ops.swiglu import LigerFusedGateUpSiLUMulFunction
from liger_kernel.ops.swiglu import LigerSiLUMulFunction
from liger_kernel.transformers.experts import LigerExperts  # noqa: F401  (where others look for it)
from liger_kernel.transformers.fallback import SILU
from liger_kernel.transformers.fallback import may_fuse
from liger_kernel.transformers.fallback import original_forward
from liger_kernel.transformers.fallback import takes


def _check_activation(name):
    if name not in ("silu", "swish"):
        raise ValueError(f"Activation function {name} not supported: this module computes silu")


def silu_mul(gate, up, gate_multiplier=1.0):
    """silu(gate gate_multiplier) up, by the kernel where it takes both."""
    if takes(gate):
        return LigerSiLUMulFunction.apply(gate, up, gate_multiplier)
    return F.silu(gate if gate_multiplier == 1.0 else gate * gate_multiplier) * up


class LigerSwiGLUMLP(nn.Module):
    """down(silu(gate(x)) up(x)), as in Llama, Mistral, Qwen and many more."""

    def __init__(self, config, intermediate_size=None):
        super().__init__()
        self.config = config
        self.hidden_size = config.hidden_size
        self.intermediate_size = config.intermediate_size if intermediate_size is None else intermediate_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=False)
        _check_activation(config.hidden_act)

    def forward(self, x):
        if not may_fuse(self, SILU):
            return original_forward(self, LigerSwiGLUMLP.forward)(self, x)
        return self.down_proj(silu_mul(self.gate_proj(x), self.up_proj(x)))


class LigerSwiGLUMLPForMuseGlimmer(LigerSwiGLUMLP):
    """As LigerSwiGLUMLP, with the activation under another name of the configuration."""

    def __init__(self, config):
        nn.Module.__init__(self)
        self.config = config
        self.hidden_size, self.intermediate_size = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=False)
        _check_activation(config.hidden_activation)


class LigerBlockSparseTop2MLP(nn.Module):
    """w2(silu(w1(x)) w3(x)): an expert of Mixtral."""

    def __init__(self, config):
        super().__init__()
        self.ffn_dim, self.hidden_dim = config.intermediate_size, config.hidden_size
        self.w1 = nn.Linear(self.hidden_dim, self.ffn_dim, bias=False)
        self.w2 = nn.Linear(self.ffn_dim, self.hidden_dim, bias=False)
        self.w3 = nn.Linear(self.hidden_dim, self.ffn_dim, bias=False)
        _check_activation(config.hidden_act)

    def forward(self, x):
        if not may_fuse(self, SILU):
            return original_forward(self, LigerBlockSparseTop2MLP.forward)(self, x)
        return self.w2(silu_mul(self.w1(x), self.w3(x)))


class LigerPhi3SwiGLUMLP(nn.Module):
    """Gate and up in one projection, as in Phi-3 and GLM-4."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden_size, self.intermediate_size = config.hidden_size, config.intermediate_size
        self.gate_up_proj = nn.Linear(self.hidden_size, 2 * self.intermediate_size, bias=False)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=False)
        _check_activation(config.hidden_act)

    def forward(self, x):
        if not may_fuse(self, SILU):
            return original_forward(self, LigerPhi3SwiGLUMLP.forward)(self, x)
        gate_up = self.gate_up_proj(x)
        if takes(gate_up):
            return self.down_proj(LigerFusedGateUpSiLUMulFunction.apply(gate_up))
        return self.down_proj(silu_mul(*gate_up.chunk(2, dim=-1)))


class LigerQwen3MoeSwiGLUMLP(LigerSwiGLUMLP):
    """As LigerSwiGLUMLP, for the experts of Qwen 3."""


class LigerGlm4vVisionSwiGLUMLP(nn.Module):
    """As LigerSwiGLUMLP, for the vision towers of GLM-4V, which are `out_hidden_size` wide inside."""

    def __init__(self, config, bias=False):
        super().__init__()
        self.hidden_size, self.intermediate_size = config.hidden_size, config.out_hidden_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=bias)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=bias)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=bias)
        _check_activation(config.hidden_act)

    forward = LigerSwiGLUMLP.forward


class LigerHunyuanV1SwiGLUMLP(LigerSwiGLUMLP):
    """As LigerSwiGLUMLP, for Hunyuan."""

    def __init__(self, config, layer_idx=None, is_shared_mlp=False):
        super().__init__(config)
        self.layer_idx = layer_idx


class LigerFalconH1SwiGLUMLP(nn.Module):
    """Falcon H1's, which multiplies what enters silu and what leaves the last projection."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden_size, self.intermediate_size = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=config.mlp_bias)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=config.mlp_bias)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=config.mlp_bias)
        _check_activation(config.hidden_act)
        self.gate_multiplier, self.down_multiplier = config.mlp_multipliers

    def forward(self, x):
        if not may_fuse(self, SILU):
            return original_forward(self, LigerFalconH1SwiGLUMLP.forward)(self, x)
        inner = silu_mul(self.gate_proj(x), self.up_proj(x), self.gate_multiplier)
        return self.down_proj(inner) * self.down_multiplier
