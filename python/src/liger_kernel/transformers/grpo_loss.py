"""GRPO and its relatives of logits, under the name that trainers know; the kernel is Swift's."""

import torch

from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from liger_kernel.chunked_loss.grpo_loss import LOSS_TYPES
from liger_kernel.chunked_loss.grpo_loss import _check_positive
from liger_kernel.chunked_loss.grpo_loss import _reduced
from liger_kernel.chunked_loss.grpo_loss import get_gamma_weights
from liger_kernel.ops.grpo_loss import GrpoLossFunction
from liger_kernel.ops.grpo_loss import fused_selective_log_softmax

__all__ = [
    "GrpoLossFunction", "LigerFusedLinearPPOBase", "fused_selective_log_softmax", "get_gamma_weights",
    "triton_grpo_loss",
]  # fmt: skip


def triton_grpo_loss(
    logits, old_logp, ref_logp, completion_ids, advantages, completion_mask=None, temperature=0.9, beta=0.04,
    eps_low=0.2, eps_high=0.4, inplace=True, loss_type="dapo", max_completion_length=None,
    importance_sampling_level="token", reduce=False, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05,
    vllm_is_ratio=None, delta=None, use_bias_correction_kl=False, num_items_in_batch=None, vespo_k_pos=2.0,
    vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0,
):  # fmt: skip
    """The loss of B answers of L tokens from logits (B, L + 1, V), of which the last position is not used.

    old_logp, ref_logp: (B, L) log-probabilities that drew the tokens (without them the ratio is 1) and the reference's;
    completion_ids and completion_mask: (B, L); advantages: (B) or (B, L). Without `reduce`: (loss, divergence or None,
    whether clipped) of each token, fp32, 0 where the mask is. With it: (loss, [mean divergence where beta is not 0,
    share of clipped tokens]). `inplace` has no effect: the gradient is a tensor of its own.
    """
    assert beta == 0 or ref_logp is not None, "ref_logp must be given where beta is not 0"
    if loss_type == "sapo":
        _check_positive(sapo_temperature_pos=sapo_temperature_pos, sapo_temperature_neg=sapo_temperature_neg)
    assert importance_sampling_level in ("token", "sequence"), (
        f"importance_sampling_level must be 'token' or 'sequence', got {importance_sampling_level!r}"
    )
    if delta is not None and loss_type in ("cispo", "sapo", "vespo"):
        raise ValueError(f"delta has no meaning for {loss_type}; leave it out")
    count, length = completion_ids.shape
    if vllm_is_ratio is not None:
        assert tuple(vllm_is_ratio.shape) in ((count,), (count, 1), (count, length)), (
            f"vllm_is_ratio must be of shape (B,), (B, 1) or (B, L), got {tuple(vllm_is_ratio.shape)}"
        )
    loss, divergence, clipped = GrpoLossFunction.apply(
        logits, old_logp, ref_logp, completion_ids, advantages, completion_mask, temperature, beta, eps_low, eps_high,
        inplace, loss_type, max_completion_length, reduce, importance_sampling_level, sapo_temperature_pos,
        sapo_temperature_neg, vllm_is_ratio, delta, use_bias_correction_kl, num_items_in_batch, None, vespo_k_pos,
        vespo_lambda_pos, vespo_k_neg, vespo_lambda_neg,
    )  # fmt: skip
    if reduce:
        return loss, [*(() if divergence is None else (divergence,)), clipped]
    return loss, divergence, clipped


def _reduce_grpo_loss(per_token_loss, completion_mask, loss_type, max_completion_length, num_items_in_batch=None):
    """The loss of a batch from those of its tokens, (B, L). Raises ValueError for an unknown type."""
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"Unsupported loss_type: {loss_type!r}; give one of {', '.join(LOSS_TYPES)}")
    mask = torch.ones_like(per_token_loss) if completion_mask is None else completion_mask
    longest = per_token_loss.shape[1] if max_completion_length is None else max_completion_length
    return _reduced(per_token_loss, mask != 0, mask, loss_type, longest, num_items_in_batch)
