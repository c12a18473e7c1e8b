"""Odds ratio preference optimisation (Hong et al., 2024)."""

import torch
import torch.nn.functional as F

from torch import nn

from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_preference import LigerFusedLinearPreferenceBase


def _kernel(average_log_prob):
    # The kernel's log-probabilities are means.
    return {"formula": "orpo"} if average_log_prob else None


class LigerFusedLinearORPOFunction(LigerFusedLinearPreferenceBase):
    """-beta log sigmoid(o), o the logarithm of the odds' ratio, of mean log-probabilities.

    In addition to the results of the others come the means of log sigmoid(o) and of o.
    """

    @staticmethod
    @has_kernel(_kernel)
    def preference_loss_fn(chosen_logps, rejected_logps, full_target, beta=0.1):
        odds = chosen_logps - rejected_logps
        odds = odds - (torch.log1p(-chosen_logps.exp()) - torch.log1p(-rejected_logps.exp()))
        pairs = len(full_target) // 2
        ratio = F.logsigmoid(odds).sum() / pairs
        return -beta * ratio, beta * chosen_logps, beta * rejected_logps, ratio, odds.sum() / pairs

    @classmethod
    def forward(
        cls, ctx, _input, weight, target, bias=None, ignore_index=-100, beta=0.1, compute_nll_loss=True,
        nll_target=None, compiled=True, chunk_size=1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        return super().forward(
            cls=cls, ctx=ctx, _input=_input, weight=weight, target=target, bias=bias, ignore_index=ignore_index,
            beta=beta, compute_nll_loss=compute_nll_loss, nll_target=nll_target, compiled=compiled,
            chunk_size=chunk_size, accum_dtype=accum_dtype, budget_bytes=budget_bytes,
        )  # fmt: skip


class LigerFusedLinearORPOLoss(nn.Module):
    """`LigerFusedLinearORPOFunction` with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    def __init__(
        self, ignore_index: int = -100, beta: float = 0.1, compute_nll_loss: bool = True, compiled: bool = True,
        chunk_size: int = 1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        self.ignore_index, self.beta, self.compute_nll_loss = ignore_index, beta, compute_nll_loss
        self.compiled, self.chunk_size = compiled, chunk_size
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(self, lin_weight, _input, target, bias=None, nll_target=None):
        return with_formula_of(self, LigerFusedLinearORPOFunction).apply(
            _input, lin_weight, target, bias, self.ignore_index, self.beta, self.compute_nll_loss, nll_target,
            self.compiled, self.chunk_size,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
