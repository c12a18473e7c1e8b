"""Gated feed-forward modules whose projections and gated unit are one function."""

from torch import nn
from torch.nn.modules import module as torch_module

from liger_kernel.ops.mlp import LigerMLPFunction
from liger_kernel.transformers.fallback import takes
from liger_kernel.transformers.model.heads import HOOKS
from liger_kernel.transformers.swiglu import _check_activation
from liger_kernel.transformers.swiglu import silu_mul


class LigerMLP(nn.Module):
    """down(silu(gate(x)) up(x)), as in Llama, without biases.

    Layers that something hangs on (an adapter, a quantised weight, a hook) are called one by one.
    """

    gate_multiplier = down_multiplier = 1.0

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.hidden_size, self.intermediate_size = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.up_proj = nn.Linear(self.hidden_size, self.intermediate_size, bias=False)
        self.down_proj = nn.Linear(self.intermediate_size, self.hidden_size, bias=False)
        _check_activation(config.hidden_act)

    def forward(self, x):
        layers = self.gate_proj, self.up_proj, self.down_proj
        if all(map(_is_plain, layers)):
            weights = (layer.weight for layer in layers)
            return LigerMLPFunction.apply(x, *weights, self.gate_multiplier, self.down_multiplier)
        inner = silu_mul(self.gate_proj(x), self.up_proj(x), self.gate_multiplier)
        y = self.down_proj(inner)
        return y if self.down_multiplier == 1.0 else y * self.down_multiplier


class LigerFalconH1MLP(LigerMLP):
    """As LigerMLP, for Falcon H1, which multiplies what enters silu and what leaves the last projection."""

    def __init__(self, config):
        if getattr(config, "mlp_bias", False):
            raise ValueError("LigerFalconH1MLP does not support bias. Use LigerFalconH1SwiGLUMLP")
        super().__init__(config)
        self.gate_multiplier, self.down_multiplier = map(float, config.mlp_multipliers)


def _is_plain(layer):
    """Whether a layer is torch's own without a bias, whose weight a kernel can read, and nothing hangs on its call."""
    return (
        type(layer) is nn.Linear
        and layer.bias is None
        and takes(layer.weight)
        and not any(getattr(layer, hooks) for hooks in HOOKS)
        and "forward" not in layer.__dict__
        and not torch_module._has_any_global_hook()
    )
