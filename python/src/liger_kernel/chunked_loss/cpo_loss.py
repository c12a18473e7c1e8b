"""Contrastive preference optimisation (Xu et al., 2024)."""

import torch.nn.functional as F

from torch import nn

from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_preference import LigerFusedLinearPreferenceBase


def _kernel(average_log_prob, label_smoothing=0.0):
    return {"formula": "cpo", "label_smoothing": float(label_smoothing)}


class LigerFusedLinearCPOFunction(LigerFusedLinearPreferenceBase):
    """-(1 - s) log sigmoid(d) - s log sigmoid(-d), d = beta (chosen - rejected), s = `label_smoothing`."""

    @staticmethod
    @has_kernel(_kernel)
    def preference_loss_fn(chosen_logps, rejected_logps, full_target, beta=0.1, label_smoothing=0.0):
        d = beta * (chosen_logps - rejected_logps)
        losses = -F.logsigmoid(d) * (1 - label_smoothing) - F.logsigmoid(-d) * label_smoothing
        return losses.sum() / (len(full_target) // 2), beta * chosen_logps, beta * rejected_logps

    @classmethod
    def forward(
        cls, ctx, _input, weight, target, bias=None, ignore_index=-100, beta=0.1, alpha=1.0, label_smoothing=0.0,
        compute_nll_loss=True, compiled=True, average_log_prob=False, chunk_size=1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        return super().forward(
            cls=cls, ctx=ctx, _input=_input, weight=weight, target=target, bias=bias, ignore_index=ignore_index,
            beta=beta, alpha=alpha, label_smoothing=label_smoothing, compute_nll_loss=compute_nll_loss,
            compiled=compiled, average_log_prob=average_log_prob, chunk_size=chunk_size, accum_dtype=accum_dtype,
            budget_bytes=budget_bytes,
        )  # fmt: skip


class LigerFusedLinearCPOLoss(nn.Module):
    """`LigerFusedLinearCPOFunction` with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    def __init__(
        self, ignore_index: int = -100, beta: float = 0.1, alpha: float = 1.0, label_smoothing: float = 0.0,
        compute_nll_loss: bool = True, compiled: bool = True, average_log_prob: bool = False, chunk_size: int = 1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        self.ignore_index, self.beta, self.alpha, self.label_smoothing = ignore_index, beta, alpha, label_smoothing
        self.compute_nll_loss, self.compiled = compute_nll_loss, compiled
        self.average_log_prob, self.chunk_size = average_log_prob, chunk_size
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(self, lin_weight, _input, target, bias=None):
        return with_formula_of(self, LigerFusedLinearCPOFunction).apply(
            _input, lin_weight, target, bias, self.ignore_index, self.beta, self.alpha, self.label_smoothing,
            self.compute_nll_loss, self.compiled, self.average_log_prob, self.chunk_size,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
