"""The experts of a layer as one function, under upstream's name."""

from liger_kernel.transformers.experts import fused_experts


class LigerFusedMoEFunction:
    """x: (.., H), gate_up_proj: (E, 2I, H), down_proj: (E, H, I), top_k_index and top_k_weights: (.., K).

    A composition of differentiable operations rather than one autograd Function; `apply` is how it is called.
    """

    @staticmethod
    def apply(x, gate_up_proj, down_proj, top_k_index, top_k_weights):
        return fused_experts(x, gate_up_proj, down_proj, top_k_index, top_k_weights)
