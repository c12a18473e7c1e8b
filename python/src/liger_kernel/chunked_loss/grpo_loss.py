"""Group relative policy optimisation (Shao et al., 2024) and its relatives."""

import math

import torch

from torch import nn

from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from liger_kernel.ops._policy import DIVIDED_BY_BATCH
from liger_kernel.ops._policy import LOSS_TYPES as LOSS_TYPES
from liger_kernel.ops._policy import OF_TOKENS
from liger_kernel.ops._policy import batch_normaliser
from liger_kernel.ops._policy import check
from liger_kernel.ops._policy import check_level


def _check_positive(**values):
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}; give a number above 0")


def k3_loss_fn(log_p, log_q):
    """An estimate of the divergence of q from p by samples of q (Schulman, 2020): e^x - x - 1, x = log p - log q."""
    x = log_p - log_q
    return x.exp() - x - 1


def sapo_loss_fn(importance_ratio, temperature):
    """4 sigmoid(temperature (ratio - 1)) / temperature. Raises ValueError for a temperature that is not above 0."""
    if not temperature > 0:
        raise ValueError(f"sapo_temperature is {temperature}; give a number above 0")
    return torch.sigmoid(temperature * (importance_ratio - 1)) * 4 / temperature


def clip_coef_fn(coef, epsilon_low, epsilon_high, loss_type):
    """The ratios clipped, whether each is below the bounds, and above.

    CISPO clips from above only, and what it clips has no gradient; SAPO and VESPO do not clip.
    """
    if loss_type == "cispo":
        return coef.clamp(max=epsilon_high).detach(), False, coef > epsilon_high
    if loss_type in ("sapo", "vespo"):
        return None, torch.zeros_like(coef, dtype=torch.bool), torch.zeros_like(coef, dtype=torch.bool)
    low, high = 1 - epsilon_low, 1 + epsilon_high
    return coef.clamp(low, high), coef < low, coef > high


@torch.no_grad()
def get_gamma_weights(
    advantages, log_ratio_per_token, mask, importance_sampling_ratio=None, k_pos=2.0, lambda_pos=3.0, k_neg=3.0,
    lambda_neg=2.0,
):  # fmt: skip
    """VESPO's factor of each answer, (B, 1), or of each token where advantages are (B, T); 0 where it is not finite.

    e^(lambda + k log W - lambda W), k and lambda by the advantage's sign. log W: the sum of an answer's log ratios, and
    of the logarithms of the sampler's ratios, (B, T) or (B, 1), all of them clamped. What the mask leaves out does not
    count.
    """
    least, counts = math.log(1e-8), mask != 0
    log_w = log_ratio_per_token.clamp(-20, 20).masked_fill(~counts, 0).sum(-1, keepdim=True)
    if importance_sampling_ratio is not None:
        logs = importance_sampling_ratio.log().clamp(least, 20)
        if logs.shape == counts.shape:
            logs = logs.masked_fill(~counts, 0)
        log_w = log_w + logs.sum(-1, keepdim=True)
    log_w = log_w.clamp(least, 20)
    is_positive = _of_tokens(advantages) >= 0
    power, rate = (torch.where(is_positive, *pair) for pair in ((k_pos, k_neg), (lambda_pos, lambda_neg)))
    rate = rate.clamp(min=1e-4)
    factor = (rate + power * log_w - rate * log_w.exp()).exp()
    return factor.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _where(counts, given, otherwise):
    """What is given of tokens that count, if anything."""
    return otherwise if given is None else torch.where(counts, given, otherwise)


def _sum_of_tokens(values, counts):
    return values.masked_fill(~counts, 0).sum()


def _mean_of_tokens(values, counts):
    """(B, 1): over the tokens that count; 0 where none does."""
    return values.masked_fill(~counts, 0).sum(-1, keepdim=True) / counts.sum(-1, keepdim=True).clamp(min=1)


def _reduced(losses, counts, full_attention_mask, loss_type, max_completion_length, num_items_in_batch):
    """The share that some answers' tokens have in the batch's loss."""
    answers = len(full_attention_mask)
    if loss_type in ("grpo", "sapo"):
        return _mean_of_tokens(losses, counts).sum() / answers
    if loss_type in DIVIDED_BY_BATCH:
        divisor = batch_normaliser(full_attention_mask, num_items_in_batch)
    elif loss_type == "bnpo":
        divisor = full_attention_mask.sum().clamp(min=1)
    else:
        divisor = answers * (max_completion_length if loss_type == "dr_grpo" else 1)
    return _sum_of_tokens(losses, counts) / divisor


def _of_tokens(advantages):
    """(B, 1), or (B, T) as they are."""
    return advantages[:, None] if advantages.dim() == 1 else advantages


def _kernel(
    epsilon_low, epsilon_high, beta, loss_type, max_completion_length, importance_sampling_level, sapo_temperature_pos,
    sapo_temperature_neg, delta, use_bias_correction_kl, vespo_k_pos, vespo_lambda_pos, vespo_k_neg, vespo_lambda_neg,
):  # fmt: skip
    # The formula below is made of these, which somebody may have replaced.
    if (k3_loss_fn, sapo_loss_fn, clip_coef_fn, get_gamma_weights) != _PARTS:
        return None
    check(loss_type, importance_sampling_level, max_completion_length)
    return {
        "formula": loss_type, "beta": float(beta), "epsilon_low": float(epsilon_low),
        "epsilon_high": float(epsilon_high), "is_per_sequence": importance_sampling_level == "sequence",
        # TRL passes it whatever the loss, of which only clipped ones read it.
        "delta": None if delta is None or loss_type in OF_TOKENS else float(delta),
        "corrects_bias": use_bias_correction_kl, "maximum_length": max_completion_length,
        "tau_positive": float(sapo_temperature_pos), "tau_negative": float(sapo_temperature_neg),
        "vespo_power_positive": float(vespo_k_pos), "vespo_power_negative": float(vespo_k_neg),
        "vespo_rate_positive": float(vespo_lambda_pos), "vespo_rate_negative": float(vespo_lambda_neg),
    }  # fmt: skip


_PARTS = (k3_loss_fn, sapo_loss_fn, clip_coef_fn, get_gamma_weights)


class LigerFusedLinearGRPOFunction(LigerFusedLinearPPOBase):
    """GRPO without the logits; `LigerFusedLinearPPOBase` says what goes in and comes out.

    loss_type: grpo, bnpo, dr_grpo, dapo, luspo, cispo, sapo or vespo. Log-probabilities that drew the tokens and the
    reference's are (B, T); without the first the ratio is 1. vllm_is_ratio: (B), (B, 1) or (B, T). What is given of
    tokens that the mask leaves out may be anything. `delta` bounds the ratios of clipped losses; cispo, sapo and vespo
    do not read it, as TRL's do not.
    """

    @staticmethod
    @has_kernel(_kernel)
    def ppo_loss_fn(
        per_token_logps, attention_mask, advantages, full_attention_mask, ref_per_token_logps=None,
        old_per_token_logps=None, epsilon_low=0.2, epsilon_high=0.2, beta=0.04, loss_type="dapo",
        max_completion_length=None, importance_sampling_level="token", sapo_temperature_pos=1.0,
        sapo_temperature_neg=1.05, vllm_is_ratio=None, delta=None, use_bias_correction_kl=False, vespo_k_pos=2.0,
        vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0, num_items_in_batch=None, **kwargs,
    ):  # fmt: skip
        check(loss_type, importance_sampling_level, max_completion_length)
        # What is said of tokens that do not count may be anything.
        counts, fixed = attention_mask != 0, per_token_logps.detach()
        A, v = _where(counts, _of_tokens(advantages), 0), vllm_is_ratio
        log_ratio = per_token_logps - _where(counts, old_per_token_logps, fixed)
        is_per_sequence = importance_sampling_level == "sequence"
        coef = (_mean_of_tokens(log_ratio, counts) if is_per_sequence else log_ratio).exp()
        clipped, is_low, is_high = clip_coef_fn(coef, epsilon_low, epsilon_high, loss_type)
        if loss_type == "cispo":
            losses = -clipped * A * per_token_logps
        elif loss_type == "sapo":
            positive, negative = (sapo_loss_fn(coef, tau) for tau in (sapo_temperature_pos, sapo_temperature_neg))
            losses = -torch.where(A > 0, positive, negative) * A
        elif loss_type == "vespo":
            numbers = vespo_k_pos, vespo_lambda_pos, vespo_k_neg, vespo_lambda_neg
            losses = -get_gamma_weights(advantages, log_ratio, attention_mask, v, *numbers) * A * per_token_logps
        else:
            losses = -torch.minimum((coef if delta is None else coef.clamp(max=delta)) * A, clipped * A)
        if v is not None and loss_type != "vespo":
            losses = losses * _where(counts, v, 1)
        is_clipped = (is_low & (A < 0)) | (is_high & (A > 0))
        metrics = [is_clipped.expand(counts.shape).float()]
        if beta != 0:
            k = k3_loss_fn(_where(counts, ref_per_token_logps, fixed), per_token_logps)
            k = k * coef if use_bias_correction_kl else k
            losses, metrics = losses + beta * k, [k, *metrics]
        total = full_attention_mask.sum().clamp(min=1)
        loss = _reduced(
            losses.expand(counts.shape), counts, full_attention_mask, loss_type, max_completion_length,
            num_items_in_batch,
        )  # fmt: skip
        return loss, [_sum_of_tokens(metric, counts) / total for metric in metrics]

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
        check_level(loss_type, importance_sampling_level)
        return super().forward(
            cls=cls, ctx=ctx, _input=_input, weight=weight, selected_token_ids=selected_token_ids,
            attention_mask=attention_mask, advantages=advantages, bias=bias, ref_per_token_logps=ref_per_token_logps,
            old_per_token_logps=old_per_token_logps, ref_input=ref_input, ref_weight=ref_weight, ref_bias=ref_bias,
            epsilon_low=epsilon_low, epsilon_high=epsilon_high, beta=beta, loss_type=loss_type,
            max_completion_length=max_completion_length, importance_sampling_level=importance_sampling_level,
            temperature=temperature, compiled=compiled, use_ref_model=use_ref_model, chunk_size=chunk_size,
            sapo_temperature_pos=sapo_temperature_pos, sapo_temperature_neg=sapo_temperature_neg,
            vllm_is_ratio=vllm_is_ratio, delta=delta, use_bias_correction_kl=use_bias_correction_kl,
            vespo_k_pos=vespo_k_pos, vespo_lambda_pos=vespo_lambda_pos, vespo_k_neg=vespo_k_neg,
            vespo_lambda_neg=vespo_lambda_neg, num_items_in_batch=num_items_in_batch, accum_dtype=accum_dtype,
            budget_bytes=budget_bytes,
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
        _check_positive(delta=delta)
        if loss_type == "sapo":
            _check_positive(sapo_temperature_pos=sapo_temperature_pos, sapo_temperature_neg=sapo_temperature_neg)
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
        return with_formula_of(self, LigerFusedLinearGRPOFunction).apply(
            _input, lin_weight, selected_token_ids, attention_mask, advantages, bias, ref_per_token_logps,
            old_per_token_logps, ref_input, ref_weight, ref_bias, self.beta, self.epsilon_low, self.epsilon_high,
            self.loss_type, self.max_completion_length, self.importance_sampling_level, self.sapo_temperature_pos,
            self.sapo_temperature_neg, self.temperature, self.compiled, self.use_ref_model, self.chunk_size,
            vllm_is_ratio, self.delta, self.use_bias_correction_kl, self.vespo_k_pos, self.vespo_lambda_pos,
            self.vespo_k_neg, self.vespo_lambda_neg, num_items_in_batch,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
