"""The experts of a mixture-of-experts layer, with the gate between their two products fused."""

from __future__ import annotations

import torch
import torch.nn as nn
import torch.nn.functional as F

from liger_kernel.ops import LigerSiLUMulFunction
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


def fused_experts(hidden_states, gate_up_proj, down_proj, top_k_index, top_k_weights):
    """The results of all experts of a layer, mixed; see `LigerExperts`."""
    width, choices = hidden_states.shape[-1], top_k_index.shape[-1]
    rows = hidden_states.reshape(-1, 1, width)
    weights = top_k_weights.reshape(-1, choices)
    expert = top_k_index.reshape(-1)
    order = torch.argsort(expert, stable=True)
    counts = torch.bincount(expert, minlength=gate_up_proj.shape[0])[: gate_up_proj.shape[0]]
    sorted_rows = rows.expand(-1, choices, width).reshape(-1, width)[order]
    gate, up = grouped_linear(sorted_rows, gate_up_proj, counts).chunk(2, dim=-1)
    results = grouped_linear(LigerSiLUMulFunction.apply(gate, up), down_proj, counts)
    results = results[torch.argsort(order)].reshape(-1, choices, width)
    # The results of experts that live elsewhere are zero; their weights may be anything.
    here = (expert < gate_up_proj.shape[0]).reshape(-1, choices)
    mixed = (results.float() * (weights.float() * here).unsqueeze(-1)).sum(dim=1)
    return mixed.to(hidden_states.dtype).reshape(hidden_states.shape)


class _ZeroGradientBeyond(torch.autograd.Function):
    """Rows as they are; the gradient of those beyond the first `count` is zero, whatever comes back for them."""

    generate_vmap_rule = True

    @staticmethod
    def forward(rows, count):
        return rows.view_as(rows)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx, gradient):
        (count,) = ctx.saved_tensors
        return zero_beyond(gradient, count), None


def zero_beyond(rows: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Rows from `count` on, a number on the device, as zeros. What was in them may be anything, NaN too."""
    is_beyond = torch.arange(rows.shape[0], device=rows.device) >= count
    return rows.masked_fill(is_beyond.unsqueeze(-1), 0)


def grouped_linear(rows: torch.Tensor, weight: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """rows weight_e^T, where the first `counts[0]` rows belong to expert 0 and so on; rows beyond are zero."""
    if uses_grouped_product(rows, weight):
        ends = counts.cumsum(0).to(torch.int32)
        # Grouped products leave rows beyond the last group as they found them: here the result's, and in the
        # backward pass, where another one makes it, the gradient's.
        rows = _ZeroGradientBeyond.apply(rows, ends[-1])
        return zero_beyond(F.grouped_mm(rows, weight.transpose(-2, -1), offs=ends), ends[-1])
    sizes = counts.tolist()
    parts = torch.split(rows, [*sizes, rows.shape[0] - sum(sizes)])
    products = [F.linear(part, weight[e]) for e, part in enumerate(parts[:-1]) if part.shape[0]]
    if parts[-1].shape[0] or not products:
        products.append(rows.new_zeros(parts[-1].shape[0], weight.shape[1]))
    return torch.cat(products)


def uses_grouped_product(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    """The grouped product wants rows of 16 bytes' multiples and one type; it never reads sizes back to the host."""
    if not hasattr(F, "grouped_mm") or rows.device.type != "cuda" or rows.dtype != weight.dtype:
        return False
    return rows.dtype == torch.bfloat16 and rows.shape[-1] % 8 == 0 and weight.shape[1] % 8 == 0
