"""Direct preference optimisation (Rafailov et al., 2023) and its relatives."""

from torch import nn

from liger_kernel.chunked_loss.fused_linear_preference import LigerFusedLinearPreferenceBase

LOSS_TYPES = (
    "sigmoid", "hinge", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop",
)  # fmt: skip


def _check(loss_type, label_smoothing):
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"loss_type is {loss_type!r}; give one of {', '.join(LOSS_TYPES)}")
    if loss_type == "exo_pair" and not 0 < label_smoothing < 1:
        raise ValueError(f"label_smoothing is {label_smoothing}; exo_pair takes a number above 0 and below 1")
    if loss_type == "robust" and not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing is {label_smoothing}; robust takes a number from 0 to below 0.5")


class LigerFusedLinearDPOFunction(LigerFusedLinearPreferenceBase):
    """DPO without the logits; `LigerFusedLinearPreferenceBase` says what goes in and comes out.

    With a reference model rewards are beta times the log-probabilities' distance to its own. `label_smoothing` is
    that of exo_pair and robust, `discopop_tau` that of discopop; other loss types do not read them.
    """

    @classmethod
    def forward(
        cls, ctx, _input, weight, target, bias=None, ref_input=None, ref_weight=None, ref_bias=None,
        ignore_index=-100, beta=0.1, compute_nll_loss=False, compiled=True, use_ref_model=True,
        average_log_prob=False, chunk_size=1, loss_type="sigmoid", label_smoothing=0.0, discopop_tau=0.05, alpha=1.0,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        if loss_type == "ipo":
            raise NotImplementedError("the loss type 'ipo' is not provided; give one of " + ", ".join(LOSS_TYPES))
        _check(loss_type, label_smoothing)
        if use_ref_model and (ref_input is None or ref_weight is None):
            raise ValueError("a reference model needs ref_input and ref_weight; give them, or use_ref_model=False")
        return cls.pairs(
            ctx, loss_type, _input, weight, target, bias, ignore_index=ignore_index, beta=beta, alpha=alpha,
            compute_nll_loss=compute_nll_loss, chunk_size=chunk_size,
            memory=(accum_dtype, budget_bytes), average_log_prob=average_log_prob,
            reference=(ref_input, ref_weight, ref_bias) if use_ref_model else (None, None, None),
            label_smoothing=float(label_smoothing), tau=float(discopop_tau),
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
        return LigerFusedLinearDPOFunction.apply(
            _input, lin_weight, target, bias, ref_input, ref_weight, ref_bias, self.ignore_index, self.beta,
            self.compute_nll_loss, self.compiled, self.use_ref_model, self.average_log_prob, self.chunk_size,
            self.loss_type, self.label_smoothing, self.discopop_tau, self.alpha,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
