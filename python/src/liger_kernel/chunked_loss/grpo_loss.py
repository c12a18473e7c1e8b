"""Group relative policy optimisation (Shao et al., 2024) and its relatives."""

import warnings

from torch import nn

from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from liger_kernel.ops._policy import LOSS_TYPES as LOSS_TYPES
from liger_kernel.ops._policy import check


def _check_positive(**values):
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; give a number above 0")


class LigerFusedLinearGRPOFunction(LigerFusedLinearPPOBase):
    """GRPO without the logits; `LigerFusedLinearPPOBase` says what goes in and comes out.

    loss_type: grpo, bnpo, dr_grpo, dapo, luspo, cispo, sapo or vespo. Log-probabilities that drew the tokens and the
    reference's are (B, T); without the first the ratio is 1. vllm_is_ratio: (B), (B, 1) or (B, T).
    """

    @classmethod
    def forward(
        cls, ctx, _input, weight, selected_token_ids, attention_mask, advantages, bias=None, ref_per_token_logps=None,
        old_per_token_logps=None, ref_input=None, ref_weight=None, ref_bias=None, beta=0.04, epsilon_low=0.2,
        epsilon_high=0.2, loss_type="dapo", max_completion_length=None, importance_sampling_level="token",
        sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, temperature=1.0, compiled=True, use_ref_model=True,
        chunk_size=1, vllm_is_ratio=None, delta=None, use_bias_correction_kl=False, vespo_k_pos=2.0,
        vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0, num_items_in_batch=None,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        check(loss_type, importance_sampling_level, max_completion_length)
        has_reference = ref_per_token_logps is not None or (ref_input is not None and ref_weight is not None)
        assert not use_ref_model or has_reference, (
            "a reference model needs ref_per_token_logps, or ref_input and ref_weight, or use_ref_model=False"
        )
        uses_layer = use_ref_model and ref_per_token_logps is None and beta != 0
        samples = {
            "tokens": selected_token_ids,
            "mask": attention_mask,
            "advantages": advantages,
            "old": old_per_token_logps,
            "reference": ref_per_token_logps if beta != 0 else None,
            "sampler_ratio": vllm_is_ratio,
        }
        reference = (ref_input, ref_weight, ref_bias) if uses_layer else (None, None, None)
        return cls.samples(
            ctx, samples, ((_input, weight, bias), reference), num_items_in_batch=num_items_in_batch,
            loss_type=loss_type, temperature=temperature, chunk_size=chunk_size,
            memory=(accum_dtype, budget_bytes), beta=float(beta),
            epsilon_low=float(epsilon_low), epsilon_high=float(epsilon_high),
            delta=None if delta is None else float(delta), is_per_sequence=importance_sampling_level == "sequence",
            corrects_bias=use_bias_correction_kl, maximum_length=max_completion_length,
            tau_positive=float(sapo_temperature_pos), tau_negative=float(sapo_temperature_neg),
            vespo_power_positive=float(vespo_k_pos), vespo_power_negative=float(vespo_k_neg),
            vespo_rate_positive=float(vespo_lambda_pos), vespo_rate_negative=float(vespo_lambda_neg),
        )  # fmt: skip


class LigerFusedLinearGRPOLoss(nn.Module):
    """`LigerFusedLinearGRPOFunction` with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    def __init__(
        self, beta: float = 0.04, compiled: bool = True, use_ref_model: bool = True, chunk_size: int = 1,
        epsilon_low: float = 0.2, epsilon_high: float = 0.2, loss_type: str = "dapo", max_completion_length=None,
        importance_sampling_level: str = "token", sapo_temperature_pos: float = 1.0,
        sapo_temperature_neg: float = 1.05, temperature: float = 1.0, delta=None, use_bias_correction_kl: bool = False,
        vespo_k_pos: float = 2.0, vespo_lambda_pos: float = 3.0, vespo_k_neg: float = 3.0,
        vespo_lambda_neg: float = 2.0,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        _check_positive(
            sapo_temperature_pos=sapo_temperature_pos, sapo_temperature_neg=sapo_temperature_neg, delta=delta
        )
        self.beta, self.compiled, self.use_ref_model, self.chunk_size = beta, compiled, use_ref_model, chunk_size
        self.epsilon_low, self.epsilon_high, self.loss_type = epsilon_low, epsilon_high, loss_type
        self.max_completion_length = max_completion_length
        self.importance_sampling_level = importance_sampling_level
        self.sapo_temperature_pos, self.sapo_temperature_neg = sapo_temperature_pos, sapo_temperature_neg
        self.temperature, self.delta, self.use_bias_correction_kl = temperature, delta, use_bias_correction_kl
        self.vespo_k_pos, self.vespo_lambda_pos = vespo_k_pos, vespo_lambda_pos
        self.vespo_k_neg, self.vespo_lambda_neg = vespo_k_neg, vespo_lambda_neg
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(
        self, _input, lin_weight, selected_token_ids, attention_mask, advantages, bias=None, ref_per_token_logps=None,
        old_per_token_logps=None, ref_input=None, ref_weight=None, ref_bias=None, vllm_is_ratio=None,
        num_items_in_batch=None,
    ):  # fmt: skip
        if self.use_ref_model and ref_per_token_logps is not None and ref_input is not None:
            warnings.warn("Both ref_per_token_logps and ref_input are given. Using ref_per_token_logps.", stacklevel=2)
        return LigerFusedLinearGRPOFunction.apply(
            _input, lin_weight, selected_token_ids, attention_mask, advantages, bias, ref_per_token_logps,
            old_per_token_logps, ref_input, ref_weight, ref_bias, self.beta, self.epsilon_low, self.epsilon_high,
            self.loss_type, self.max_completion_length, self.importance_sampling_level, self.sapo_temperature_pos,
            self.sapo_temperature_neg, self.temperature, self.compiled, self.use_ref_model, self.chunk_size,
            vllm_is_ratio, self.delta, self.use_bias_correction_kl, self.vespo_k_pos, self.vespo_lambda_pos,
            self.vespo_k_neg, self.vespo_lambda_neg, num_items_in_batch,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
