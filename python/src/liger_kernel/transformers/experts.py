"""The experts of a mixture-of-experts layer, with the gate between their two products fused."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from liger_kernel.ops.fused_moe import fused_experts
from liger_kernel.transformers.fallback import SILU
from liger_kernel.transformers.fallback import may_fuse
from liger_kernel.transformers.fallback import original_forward
from liger_kernel.transformers.fallback import takes


class LigerExperts(nn.Module):
    """All experts of one layer in two weight tensors, `gate_up_proj` (E, 2I, H) and `down_proj` (E, H, I).

    For a token x routed to experts e_1..e_K with weights w_k:

        y = sum_k w_k * down_{e_k} (silu(gate_{e_k} x) * up_{e_k} x)

    Tokens are put in the order of their experts, so that the gate is one kernel over the rows of all experts, and the
    K results of a token are summed in fp32 in the order of its choices: the result does not change from run to run.
    An index of E or more stands for an expert that lives elsewhere and adds nothing.
    """

    def __init__(self, config):
        super().__init__()
        names = ("num_experts", "num_local_experts", "n_routed_experts")
        self.num_experts = next(getattr(config, name) for name in names if hasattr(config, name))
        self.hidden_dim = config.hidden_size
        narrow = getattr(config, "moe_intermediate_size", None)
        # Hunyuan has such a size, or one per layer, and makes its experts of intermediate_size.
        wide = narrow is None or str(getattr(config, "model_type", "")).startswith("hunyuan")
        self.intermediate_dim = config.intermediate_size if wide else narrow
        activation = getattr(config, "hidden_act", "silu")
        if activation not in ("silu", "swish"):
            raise ValueError(f"the experts' activation must be silu, found {activation!r}; pass swiglu=False")
        self.config = config
        self.gate_up_proj = nn.Parameter(torch.empty(self.num_experts, 2 * self.intermediate_dim, self.hidden_dim))
        self.down_proj = nn.Parameter(torch.empty(self.num_experts, self.hidden_dim, self.intermediate_dim))

    def forward(self, hidden_states, top_k_index, top_k_weights):
        gate_up, down = self.gate_up_proj, self.down_proj
        if not (takes(hidden_states) and takes(gate_up) and takes(down) and may_fuse(self, SILU)):
            forward = original_forward(self, LigerExperts.forward) or experts_in_torch
            return forward(self, hidden_states, top_k_index, top_k_weights)
        return fused_experts(hidden_states, gate_up, down, top_k_index, top_k_weights)

    def extra_repr(self):
        return f"num_experts={self.gate_up_proj.shape[0]}, shape={tuple(self.gate_up_proj.shape[1:])}"


def experts_in_torch(module, hidden_states, top_k_index, top_k_weights):
    """The formula of `LigerExperts` by torch's operations, one expert after the other."""
    rows = hidden_states.reshape(-1, hidden_states.shape[-1])
    choices = top_k_index.reshape(rows.shape[0], -1)
    weights = top_k_weights.reshape(choices.shape)
    mixed = torch.zeros_like(rows)
    for expert, (gate_up, down) in enumerate(zip(module.gate_up_proj, module.down_proj)):
        token, choice = torch.where(choices == expert)
        gate, up = F.linear(rows[token], gate_up).chunk(2, dim=-1)
        result = F.linear(F.silu(gate) * up, down) * weights[token, choice].unsqueeze(-1)
        mixed = mixed.index_add(0, token, result.to(mixed.dtype))
    return mixed.reshape(hidden_states.shape)
