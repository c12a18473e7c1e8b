"""Gated feed-forward modules with GELU's tanh form, as in Gemma."""

import torch.nn.functional as F

from torch import nn

from liger_kernel.ops.geglu import LigerGELUMulFunction
from liger_kernel.transformers.fallback import GELU_TANH
from liger_kernel.transformers.fallback import may_fuse
from liger_kernel.transformers.fallback import original_forward
from liger_kernel.transformers.fallback import takes


class LigerGEGLUMLP(nn.Module):
    """down(gelu(gate(x)) up(x))."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden_size, self.intermediate_size = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=False)

    def forward(self, x):
        if not may_fuse(self, GELU_TANH):
            return original_forward(self, LigerGEGLUMLP.forward)(self, x)
        gate, up = self.gate_proj(x), self.up_proj(x)
        if takes(gate):
            return self.down_proj(LigerGELUMulFunction.apply(gate, up))
        return self.down_proj(F.gelu(gate, approximate="tanh") * up)


class LigerGEGLUMLPForGemma4(LigerGEGLUMLP):
    """As LigerGEGLUMLP; layers that share another's keys and values may be twice as wide."""

    def __init__(self, config, layer_idx=None):
        nn.Module.__init__(self)
        self.config, self.layer_idx = config, layer_idx
        self.hidden_size, self.intermediate_size = config.hidden_size, config.intermediate_size
        shared = getattr(config, "num_kv_shared_layers", 0) or 0
        is_shared = shared > 0 and layer_idx is not None and layer_idx >= config.num_hidden_layers - shared
        if is_shared and getattr(config, "use_double_wide_mlp", False):
            self.intermediate_size *= 2
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=False)
