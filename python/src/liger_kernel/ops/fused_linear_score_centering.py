"""Policy gradient of sampled tokens less their expected score, by a linear layer whose logits are never whole."""

import math

from typing import NamedTuple

import torch

from liger_kernel.ops import _policy
from liger_kernel.ops._layer_of_rows import LayerOfRows
from liger_kernel.ops._linear_loss import UntracedFunction
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import require
from liger_kernel.ops._memory import budget
from liger_kernel.ops._primitive import first_order

_ROWS = 1024
# The largest ratio that counts for a negative advantage under sign="ppo".
_DUAL_CLIP = 3.0
# Bounds of the logarithm of a sampled token's ratio.
_LARGEST_LOG_RATIO = 20.0


class ISCorrection(NamedTuple):
    """A weight w(r) of a token by the ratio r of the trainer's probability to the sampler's: r inside of [low, high].

    outside: what w is elsewhere, 0 ("drop") or the nearer bound ("clamp"). sign: "both", or "ppo", where the interval
    is [0, high] for advantages from 0 on and [low, 3] for others.
    """

    low: float = 0.0
    high: float = math.inf
    outside: str = "drop"
    sign: str = "both"

    def check(self):
        """Itself. Raises AssertionError for an unknown name, ValueError for bounds that are none."""
        assert self.outside in ("clamp", "drop"), f"outside must be 'clamp' or 'drop'; found {self.outside!r}"
        assert self.sign in ("both", "ppo"), f"sign must be 'both' or 'ppo'; found {self.sign!r}"
        if not 0 <= self.low <= self.high:
            raise ValueError(f"a correction needs 0 <= low <= high; found low {self.low} and high {self.high}")
        return self


class _Options(NamedTuple):
    score_center: bool
    correction: ISCorrection | None
    temperature: float
    eps: float


class _Tokens(NamedTuple):
    """Those that count, N of them."""

    input: torch.Tensor  # (N, H)
    sampled: torch.Tensor  # (N, 1)
    head: torch.Tensor  # (N, k)
    advantages: torch.Tensor  # (N, 1)
    sampled_log_q: torch.Tensor  # (N, 1)
    head_log_q: torch.Tensor  # (N, k)


def _effective_mass(log_p, log_q, advantages, correction):
    """q w(p / q), elementwise; 0 where q is 0, as nothing is sampled there."""
    if correction is None:
        return log_q.exp().expand_as(log_p + log_q)
    low = log_q + math.log(correction.low) if correction.low > 0 else torch.full_like(log_q, -math.inf)
    high = log_q + math.log(correction.high) if correction.high < math.inf else torch.full_like(log_q, math.inf)
    is_inside = (log_p >= low) & (log_p <= high)
    if correction.sign == "ppo":
        negative = (log_p >= low) & (log_p <= log_q + math.log(_DUAL_CLIP))
        is_inside = torch.where(advantages >= 0, log_p <= high, negative)
    outside = log_p.clamp(low, high).exp() if correction.outside == "clamp" else 0.0
    return torch.where(log_q == -math.inf, 0.0, torch.where(is_inside, log_p.exp(), outside))


def _times(factor, logarithm):
    """Their product, 0 where the factor is."""
    return torch.where(factor == 0, 0.0, factor * logarithm)


def _evaluate(logits, tokens, options):
    """Of each token (N, 1) loss, entropy, divergence of the head and whether the token's weight is 0; the softmax; and
    the loss's derivatives by the log-probabilities of the sampled token and of the head.

    logits: over the temperature; written over.
    """
    log_p = torch.log_softmax(logits, -1)
    sampled, head = log_p.gather(-1, tokens.sampled), log_p.gather(-1, tokens.head)
    p = log_p.exp_()
    entropy = torch.special.entr(p, out=logits).sum(-1, keepdim=True)
    # A sum of what is outside of the head loses no digits, as 1 less the head's would.
    p_tail = logits.copy_(p).scatter_(-1, tokens.head, 0.0).sum(-1, keepdim=True)
    q = tokens.head_log_q.double().exp()
    q_tail = (1 - q.sum(-1, keepdim=True)).float()
    rho = q_tail.clamp_min(0) / p_tail.clamp_min(options.eps)
    divergence = _times(q.float(), tokens.head_log_q - head).sum(-1, keepdim=True)
    divergence = divergence + q_tail * rho.clamp_min(1e-9).log()

    zero, correction, advantages = torch.zeros_like(sampled), options.correction, tokens.advantages
    log_ratio = (sampled - tokens.sampled_log_q).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
    weight = _effective_mass(log_ratio, zero, advantages, correction)
    score, residual = _times(weight, sampled), torch.zeros_like(head)
    if options.score_center:
        alpha = _effective_mass(zero, rho.log(), advantages, correction)
        residual = _effective_mass(head, tokens.head_log_q, advantages, correction) - alpha * head.exp()
        score = score - _times(residual, head).sum(-1, keepdim=True) + alpha * entropy
    values = -advantages * score, entropy, divergence, (weight == 0).float()
    return torch.cat(values, -1), p, -advantages * weight, advantages * residual


def _logits_gradient(p, tokens, by_sampled, by_head, temperature):
    """Derivatives by the logits, into the softmax."""
    total = by_sampled + by_head.sum(-1, keepdim=True)
    p.mul_(-total).scatter_add_(-1, tokens.head, by_head).scatter_add_(-1, tokens.sampled, by_sampled)
    return p.div_(temperature)


class LigerFusedLinearScoreCenteringFunction(UntracedFunction):
    """Loss, and means over tokens of entropy, divergence of the head and share of tokens of weight 0, in fp32.

    _input: (B, T, H), weight: (V, H), bias: (V); selected_token_ids, attention_mask and sampler_token_logps: (B, T);
    advantages: (B) or (B, T); sampler_topk_ids, different classes, and sampler_topk_logps: (B, T, k). Where the mask is
    0 nothing counts. With p = softmax(logits / temperature), the sampler's q, and m = q w(p / q) of a correction, q of
    none, a token's loss is

        -A (w(p / q) log p[token] - Σ_head (m - α p) log p + α entropy(p))

    where the sampler's q outside of the head is taken for ρ p, with ρ = (1 - Σ_head q) / max(1 - Σ_head p, eps), and
    α = ρ w(1 / ρ). Of this only log p is differentiated; the entropy's share has no derivative. Without `score_center`
    only the first term is there. The sum is divided by the tokens that count, on all processes or as
    `num_items_in_batch` says, over the number of processes. chunk_size: rows of logits at a time; 1024, or as
    `liger_kernel.set_loss_memory` says, for None. They take memory twice.
    """

    @staticmethod
    def forward(
        ctx, _input, weight, selected_token_ids, attention_mask, advantages, sampler_token_logps, sampler_topk_ids,
        sampler_topk_logps, bias=None, score_center=True, correction=None, temperature=1.0, eps=1e-6,
        num_items_in_batch=None, chunk_size=None,
    ):  # fmt: skip
        _check_options(correction, temperature, chunk_size)
        samples = {
            "selected_token_ids": selected_token_ids, "attention_mask": attention_mask,
            "sampler_token_logps": sampler_token_logps, "sampler_topk_ids": sampler_topk_ids,
            "sampler_topk_logps": sampler_topk_logps,
        }  # fmt: skip
        _check_shapes(_input, weight, advantages, samples)
        tensors, mask = layer(_input, weight, bias), attention_mask.bool()
        tokens = _counted(tensors["input"], mask, advantages, samples)
        _check_classes(tokens, weight.shape[0])
        needed = ctx.needs_input_grad
        needs = {"input": needed[0], "weight": needed[1], "bias": bias is not None and needed[8]}
        rows = LayerOfRows(tensors, needs, exact=True)
        options = _Options(score_center, correction, float(temperature), float(eps))
        sums = _run(rows, tokens, options, _rows_each(chunk_size, weight.shape[0]))
        rows.share = _policy.world_size() / _policy.batch_tokens(mask, num_items_in_batch).clamp_min(1)
        ctx.rows, ctx.mask = rows, mask
        ctx.set_materialize_grads(False)
        entropy, divergence, dropped = sums[1:] / mask.sum().clamp_min(1)
        ctx.mark_non_differentiable(entropy, divergence, dropped)
        return sums[0] * rows.share, entropy, divergence, dropped

    @staticmethod
    @first_order
    def backward(ctx, upstream, *_):
        input, weight, bias = (ctx.rows.gradient(name, upstream) for name in ("input", "weight", "bias"))
        if input is not None:
            input = input.new_zeros(*ctx.mask.shape, input.shape[-1]).index_put_((ctx.mask,), input)
        return input, weight, *(None,) * 6, bias, *(None,) * 6


def _run(rows, tokens, options, rows_each):
    """Sums over tokens of what `_evaluate` gives of each; gradients are added to the layer's."""
    sums = tokens.input.new_zeros(4, dtype=torch.float32)
    for part in map(_Tokens._make, zip(*(tensor.split(rows_each) for tensor in tokens))):
        if len(part.input) == 0:
            # Nothing counts: gradients are those of no row.
            rows.inputs.append(part.input.float())
            continue
        logits = rows.logits(part.input).div_(options.temperature)
        values, p, *slopes = _evaluate(logits, part, options)
        del logits
        sums += values.sum(0)
        if any(rows.needs.values()):
            rows.add(part.input, _logits_gradient(p, part, *slopes, options.temperature))
    rows.layer = None
    return sums


def _counted(input, mask, advantages, samples):
    """What is where the mask is not 0."""
    advantages = advantages[:, None].expand(mask.shape) if advantages.dim() == 1 else advantages
    return _Tokens(
        input.detach()[mask], samples["selected_token_ids"][mask].long()[:, None],
        samples["sampler_topk_ids"][mask].long(), advantages[mask].detach().float()[:, None],
        samples["sampler_token_logps"][mask].detach().float()[:, None],
        samples["sampler_topk_logps"][mask].detach().float(),
    )  # fmt: skip


def _rows_each(chunk_size, vocabulary):
    """How many rows of logits there are at a time."""
    given = budget(None)
    if chunk_size is not None or given is None:
        return _ROWS if chunk_size is None else chunk_size
    return max(1, given // (4 * vocabulary))


def _check_options(correction, temperature, chunk_size):
    if correction is not None:
        correction.check()
    assert temperature != 0, "temperature may not be 0"
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ValueError(f"chunk_size must be a whole number of at least 1, or None; found {chunk_size!r}")


def _check_shapes(input, weight, advantages, samples):
    if input.dim() != 3 or weight.dim() != 2 or input.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"_input must be (B, T, H) and the weight (V, H); found {tuple(input.shape)} and {tuple(weight.shape)}"
        )
    tokens, ids = input.shape[:2], samples["sampler_topk_ids"]
    for name, tensor in samples.items():
        wanted = (*tokens, *ids.shape[2:3]) if "topk" in name else tuple(tokens)
        if tensor.shape != wanted or ("topk" in name and tensor.dim() != 3):
            form = "(B, T, k), one k for both" if "topk" in name else "(B, T)"
            raise ValueError(
                f"{name} must have shape {form}, with (B, T) here {tuple(tokens)}; found {tuple(tensor.shape)}"
            )
    _policy.check_advantages(advantages, samples["selected_token_ids"])


def _check_classes(tokens, vocabulary):
    for name, ids in (("selected_token_ids", tokens.sampled), ("sampler_topk_ids", tokens.head)):
        is_right = ((ids >= 0) & (ids < vocabulary)).all()
        require(is_right, f"{name} must be in [0, {vocabulary}) where attention_mask is not 0")
    ordered = tokens.head.sort(-1).values
    is_right = (ordered[:, 1:] != ordered[:, :-1]).all()
    require(is_right, "sampler_topk_ids names a class of a token twice; give each class once")


def fused_linear_score_centering(
    _input, weight, selected_token_ids, attention_mask, advantages, sampler_token_logps, sampler_topk_ids,
    sampler_topk_logps, bias=None, score_center=True, correction=None, temperature=1.0, eps=1e-6,
    num_items_in_batch=None, chunk_size=None,
):  # fmt: skip
    """The loss, and by name what else `LigerFusedLinearScoreCenteringFunction` gives."""
    loss, *metrics = LigerFusedLinearScoreCenteringFunction.apply(
        _input, weight, selected_token_ids, attention_mask, advantages, sampler_token_logps, sampler_topk_ids,
        sampler_topk_logps, bias, score_center, correction, temperature, eps, num_items_in_batch, chunk_size,
    )  # fmt: skip
    return loss, dict(zip(("entropy", "kl_head", "frac_masked"), metrics))
