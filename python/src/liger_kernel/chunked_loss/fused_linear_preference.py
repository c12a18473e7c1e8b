"""Losses that learn from pairs of answers, one chosen over the other."""

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer


class LigerFusedLinearPreferenceBase(LinearLossFunction):
    """alpha * nll + the mean over P pairs of a formula of log-probabilities.

    _input: (2P, T, H), the chosen answers of all pairs, then the rejected ones. weight: (V, H), bias: (V).
    target: (2P, T), the class that each position predicts. nll: the mean of -log p over the chosen answers'
    tokens, of `nll_target` where that is given; 0 where it is not computed.
    Gives (loss, (chosen log-probabilities (P), rejected ones (P), means of the chosen and of the rejected
    answers' logits, nll, chosen rewards (P), rejected rewards (P))) in fp32.
    """

    @classmethod
    def pairs(
        cls, ctx, formula, _input, weight, target, bias, *, ignore_index, beta, alpha, compute_nll_loss, chunk_size,
        memory, nll_target=None, average_log_prob=False, reference=(None, None, None), **options,
    ):  # fmt: skip
        """The results of a formula of the Swift library, and of ORPO's what it has beside them."""
        tensors = layer(_input, weight, bias) | layer(*reference, prefix="reference_")
        tensors |= {
            "labels": labels(target),
            "likelihood_labels": labels(nll_target) if compute_nll_loss else None,
        }
        out = cls.compute(
            ctx,
            "fused_linear_preference",
            tensors,
            formula=formula,
            beta=float(beta),
            likelihood_weight=float(alpha) if compute_nll_loss else None,
            averages=average_log_prob,
            ignore_index=ignore_index,
            memory=memory,
            of_chunks=chunk_bytes(chunk_size, 1, 2 * _input.shape[1] * weight.shape[0], weight),
            **options,
        )
        chosen, rejected = out["answers"].chunk(2)
        chosen_rewards, rejected_rewards = out["rewards"].chunk(2)
        extras = out["odds_means"].unbind() if "odds_means" in out else ()
        return out["loss"], (
            chosen, rejected, *out["logit_means"].unbind(), out["nll"], chosen_rewards, rejected_rewards, *extras,
        )  # fmt: skip
