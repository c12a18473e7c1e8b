"""Kahneman-Tversky optimisation (Ethayarajh et al., 2024)."""

from torch import nn

from liger_kernel.chunked_loss.fused_linear_unpaired_preference import LigerFusedLinearUnpairedPreferenceBase


class LigerFusedLinearKTOFunction(LigerFusedLinearUnpairedPreferenceBase):
    """The mean of 1 - sigmoid(m beta (log-probability - reference's - kl)), m = 1 for good answers, -1 for bad."""

    @classmethod
    def forward(
        cls, ctx, _input, weight, target, preference_labels, bias=None, ref_input=None, ref_weight=None,
        ref_bias=None, kl=None, ignore_index=-100, beta=0.1, compiled=True, use_ref_model=True,
        average_log_prob=False, chunk_size=1,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        assert preference_labels is not None, "preference_labels must be given: True for good answers"
        if use_ref_model and (ref_input is None or ref_weight is None):
            raise ValueError("a reference model needs ref_input and ref_weight; give them, or use_ref_model=False")
        reference = (ref_input, ref_weight, ref_bias) if use_ref_model else (None, None, None)
        return cls.answers(
            ctx, _input, weight, target, preference_labels, bias, reference, kl, ignore_index=ignore_index, beta=beta,
            average_log_prob=average_log_prob, chunk_size=chunk_size,
            memory=(accum_dtype, budget_bytes),
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
        return LigerFusedLinearKTOFunction.apply(
            _input, lin_weight, target, preference_labels, bias, ref_input, ref_weight, ref_bias, kl,
            self.ignore_index, self.beta, self.compiled, self.use_ref_model, self.average_log_prob, self.chunk_size,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
