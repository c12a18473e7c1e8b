"""Direct preference optimisation (Rafailov et al., 2023) and its relatives."""

import math

import torch
import torch.nn.functional as F

from torch import nn

from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_preference import LigerFusedLinearPreferenceBase


def _exo(d, e):
    return d.sigmoid() * (F.logsigmoid(d) - math.log1p(-e)) + (-d).sigmoid() * (F.logsigmoid(-d) - math.log(e))


def _robust(d, e):
    return (e * F.logsigmoid(-d) - (1 - e) * F.logsigmoid(d)) / (1 - 2 * e)


def _discovered(d, tau):
    m = torch.sigmoid(d / tau)
    return (-d).exp() * m - F.logsigmoid(d) * (1 - m)


# The loss of a pair, by the rewards a and b, their difference d, beta, label smoothing e and DiscoPOP's tau.
_FORMULAS = {
    "sigmoid": lambda a, b, d, beta, e, tau: -F.logsigmoid(d),
    "hinge": lambda a, b, d, beta, e, tau: torch.relu(1 - d),
    "exo_pair": lambda a, b, d, beta, e, tau: _exo(d, e),
    "nca_pair": lambda a, b, d, beta, e, tau: -F.logsigmoid(a) - (F.logsigmoid(-a) + F.logsigmoid(-b)) / 2,
    "robust": lambda a, b, d, beta, e, tau: _robust(d, e),
    "bco_pair": lambda a, b, d, beta, e, tau: -F.logsigmoid(a) - F.logsigmoid(-b),
    "sppo_hard": lambda a, b, d, beta, e, tau: ((a - 0.5) ** 2 + (b + 0.5) ** 2) / beta**2,
    "apo_zero": lambda a, b, d, beta, e, tau: 1 - a.sigmoid() + b.sigmoid(),
    "apo_down": lambda a, b, d, beta, e, tau: a.sigmoid() + 1 - d.sigmoid(),
    "discopop": lambda a, b, d, beta, e, tau: _discovered(d, tau),
}

LOSS_TYPES = tuple(_FORMULAS)


def _check(loss_type, label_smoothing):
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"Unsupported loss_type: {loss_type!r}; give one of {', '.join(LOSS_TYPES)}")
    if loss_type == "exo_pair" and not 0 < label_smoothing < 1:
        raise ValueError(
            f"label_smoothing must be > 0 for loss_type='exo_pair', and below 1; found {label_smoothing}"
        )
    if loss_type == "robust" and not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must lie in [0.0, 0.5) for loss_type='robust'; found {label_smoothing}")


def _kernel(average_log_prob, loss_type="sigmoid", label_smoothing=0.0, discopop_tau=0.05):
    if loss_type == "ipo":
        raise NotImplementedError("the loss type 'ipo' is not provided; give one of " + ", ".join(LOSS_TYPES))
    _check(loss_type, label_smoothing)
    return {"formula": loss_type, "label_smoothing": float(label_smoothing), "tau": float(discopop_tau)}


class LigerFusedLinearDPOFunction(LigerFusedLinearPreferenceBase):
    """DPO without the logits; `LigerFusedLinearPreferenceBase` says what goes in and comes out.

    With a reference model rewards are beta times the log-probabilities' distance to its own. `label_smoothing` is
    that of exo_pair and robust, `discopop_tau` that of discopop; other loss types do not read them.
    """

    @staticmethod
    @has_kernel(_kernel)
    def preference_loss_fn(
        chosen_logps, rejected_logps, full_target, ref_chosen_logps=None, ref_rejected_logps=None, beta=0.1,
        loss_type="sigmoid", label_smoothing=0.0, discopop_tau=0.05,
    ):  # fmt: skip
        _kernel(False, loss_type, label_smoothing)
        a = beta * (chosen_logps if ref_chosen_logps is None else chosen_logps - ref_chosen_logps)
        b = beta * (rejected_logps if ref_rejected_logps is None else rejected_logps - ref_rejected_logps)
        losses = _FORMULAS[loss_type](a, b, a - b, beta, label_smoothing, discopop_tau)
        return losses.sum() / (len(full_target) // 2), a, b

    @classmethod
    def forward(
        cls, ctx, _input, weight, target, bias=None, ref_input=None, ref_weight=None, ref_bias=None,
        ignore_index=-100, beta=0.1, compute_nll_loss=False, compiled=True, use_ref_model=True,
        average_log_prob=False, chunk_size=1, loss_type="sigmoid", label_smoothing=0.0, discopop_tau=0.05, alpha=1.0,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        return super().forward(
            cls=cls, ctx=ctx, _input=_input, weight=weight, target=target, bias=bias, ignore_index=ignore_index,
            beta=beta, alpha=alpha, compute_nll_loss=compute_nll_loss, compiled=compiled, use_ref_model=use_ref_model,
            ref_input=ref_input, ref_weight=ref_weight, ref_bias=ref_bias, average_log_prob=average_log_prob,
            chunk_size=chunk_size, loss_type=loss_type, label_smoothing=label_smoothing, discopop_tau=discopop_tau,
            accum_dtype=accum_dtype, budget_bytes=budget_bytes,
        )  # fmt: skip


class LigerFusedLinearDPOLoss(nn.Module):
    """`LigerFusedLinearDPOFunction` with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    def __init__(
        self, ignore_index: int = -100, beta: float = 0.1, alpha: float = 1.0, compute_nll_loss: bool = False,
        compiled: bool = True, use_ref_model: bool = True, average_log_prob: bool = False, chunk_size: int = 1,
        loss_type: str = "sigmoid", label_smoothing: float = 0.0, discopop_tau: float = 0.05,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        _check(loss_type, label_smoothing)
        self.ignore_index, self.beta, self.alpha = ignore_index, beta, alpha
        self.compute_nll_loss, self.compiled, self.use_ref_model = compute_nll_loss, compiled, use_ref_model
        self.average_log_prob, self.chunk_size = average_log_prob, chunk_size
        self.loss_type, self.label_smoothing, self.discopop_tau = loss_type, label_smoothing, discopop_tau
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(self, lin_weight, _input, target, bias=None, ref_input=None, ref_weight=None, ref_bias=None):
        return with_formula_of(self, LigerFusedLinearDPOFunction).apply(
            _input, lin_weight, target, bias, ref_input, ref_weight, ref_bias, self.ignore_index, self.beta,
            self.compute_nll_loss, self.compiled, self.use_ref_model, self.average_log_prob, self.chunk_size,
            self.loss_type, self.label_smoothing, self.discopop_tau, self.alpha,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
