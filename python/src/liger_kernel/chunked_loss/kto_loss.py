"""Kahneman-Tversky optimisation (Ethayarajh et al., 2024)."""

import torch

from torch import nn

from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_unpaired_preference import LigerFusedLinearUnpairedPreferenceBase


def _kernel(beta=0.1, kl=None):
    return {"beta": float(beta), "kl": kl}


class LigerFusedLinearKTOFunction(LigerFusedLinearUnpairedPreferenceBase):
    """The mean of 1 - sigmoid(m beta (log-probability - reference's - kl)), m = 1 for good answers, -1 for bad."""

    @staticmethod
    @has_kernel(_kernel)
    def preference_loss_fn(
        log_prob_chunk, preference_labels_chunk, full_target, ref_log_prob_chunk=None, beta=0.1, kl=None
    ):
        good = preference_labels_chunk.bool()
        ratio = log_prob_chunk if ref_log_prob_chunk is None else log_prob_chunk - ref_log_prob_chunk
        distance = ratio if kl is None else ratio - kl
        losses = 1 - torch.sigmoid(beta * torch.where(good, distance, -distance))
        rewards = beta * ratio
        return losses.sum() / len(full_target), (rewards * good).sum(), (rewards * ~good).sum()

    @classmethod
    def forward(
        cls, ctx, _input, weight, target, preference_labels, bias=None, ref_input=None, ref_weight=None,
        ref_bias=None, kl=None, ignore_index=-100, beta=0.1, compiled=True, use_ref_model=True,
        average_log_prob=False, chunk_size=1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        return super().forward(
            cls=cls, ctx=ctx, _input=_input, weight=weight, target=target, preference_labels=preference_labels,
            bias=bias, ignore_index=ignore_index, beta=beta, compiled=compiled, use_ref_model=use_ref_model,
            ref_input=ref_input, ref_weight=ref_weight, ref_bias=ref_bias, average_log_prob=average_log_prob, kl=kl,
            chunk_size=chunk_size, accum_dtype=accum_dtype, budget_bytes=budget_bytes,
        )  # fmt: skip


class LigerFusedLinearKTOLoss(nn.Module):
    """`LigerFusedLinearKTOFunction` with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    def __init__(
        self, ignore_index: int = -100, beta: float = 0.1, compiled: bool = True, use_ref_model: bool = False,
        average_log_prob: bool = False, chunk_size: int = 1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        self.ignore_index, self.beta, self.compiled = ignore_index, beta, compiled
        self.use_ref_model, self.average_log_prob, self.chunk_size = use_ref_model, average_log_prob, chunk_size
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(
        self, _input, lin_weight, target, bias=None, preference_labels=None, ref_input=None, ref_weight=None,
        ref_bias=None, kl=None,
    ):  # fmt: skip
        return with_formula_of(self, LigerFusedLinearKTOFunction).apply(
            _input, lin_weight, target, preference_labels, bias, ref_input, ref_weight, ref_bias, kl,
            self.ignore_index, self.beta, self.compiled, self.use_ref_model, self.average_log_prob, self.chunk_size,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
