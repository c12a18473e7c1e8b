"""Policy gradient of sampled tokens less their expected score, of a linear layer, as a module."""

from typing import Optional

from torch import nn

from liger_kernel.ops.fused_linear_score_centering import ISCorrection
from liger_kernel.ops.fused_linear_score_centering import fused_linear_score_centering

__all__ = ["ISCorrection", "LigerFusedLinearScoreCenteringLoss"]


class LigerFusedLinearScoreCenteringLoss(nn.Module):
    """`fused_linear_score_centering` with its options: (loss, {"entropy", "kl_head", "frac_masked"})."""

    def __init__(
        self, score_center: bool = True, correction: Optional[ISCorrection] = None, temperature: float = 1.0,
        eps: float = 1e-6, chunk_size: Optional[int] = None,
    ):  # fmt: skip
        super().__init__()
        assert temperature != 0, "temperature may not be 0"
        self.score_center, self.temperature, self.eps, self.chunk_size = score_center, temperature, eps, chunk_size
        self.correction = None if correction is None else correction.check()

    def forward(
        self, _input, lin_weight, selected_token_ids, attention_mask, advantages, sampler_token_logps,
        sampler_topk_ids, sampler_topk_logps, bias=None, num_items_in_batch=None,
    ):  # fmt: skip
        return fused_linear_score_centering(
            _input, lin_weight, selected_token_ids, attention_mask, advantages, sampler_token_logps, sampler_topk_ids,
            sampler_topk_logps, bias, self.score_center, self.correction, self.temperature, self.eps,
            num_items_in_batch, self.chunk_size,
        )  # fmt: skip

    def extra_repr(self):
        return f"score_center={self.score_center}, correction={self.correction}, temperature={self.temperature}"
