"""Losses that learn from pairs of answers, one chosen over the other."""

import torch
import torch.nn.functional as F

from liger_kernel.chunked_loss._formulas import FormulaFunction
from liger_kernel.chunked_loss._formulas import Parts
from liger_kernel.chunked_loss._formulas import answer_log_probabilities
from liger_kernel.chunked_loss._formulas import kernel_options
from liger_kernel.chunked_loss._formulas import log_probabilities
from liger_kernel.chunked_loss._formulas import split
from liger_kernel.chunked_loss._formulas import wanted
from liger_kernel.chunked_loss._shares import TRIED
from liger_kernel.chunked_loss._shares import Trial
from liger_kernel.chunked_loss._shares import may_check
from liger_kernel.chunked_loss._shares import nearby
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._memory import budget
from liger_kernel.ops._memory import bytes_of_logits


class LigerFusedLinearPreferenceBase(FormulaFunction):
    """alpha * nll + the mean over P pairs of a formula of log-probabilities.

    _input: (2P, T, H), the chosen answers of all pairs, then the rejected ones. weight: (V, H), bias: (V).
    target: (2P, T), the class that each position predicts. nll: the mean of -log p over the chosen answers'
    tokens, of `nll_target` where that is given; 0 where it is not computed.
    Gives (loss, (chosen log-probabilities (P), rejected ones (P), means of the chosen and of the rejected
    answers' logits, nll, chosen rewards (P), rejected rewards (P))) in fp32.

    A subclass may bring a formula of its own, `preference_loss_fn`. It is called for `chunk_size` pairs at a time with
    (chosen log-probabilities, rejected ones, the whole target, beta=, further arguments of `forward`), with a reference
    model also ref_chosen_logps= and ref_rejected_logps=. It gives the loss of these pairs, alone or in a tuple before
    results, which take the place of rewards: the losses of all chunks are summed, and so are results that are numbers.
    """

    FORMULA = "preference_loss_fn"
    GRADIENTS = 8

    def preference_loss_fn(*args, **kwargs):
        """The formula, which a subclass gives."""
        raise NotImplementedError("the class has no formula. Give it a preference_loss_fn")

    @staticmethod
    def forward(
        cls, ctx, _input, weight, target, bias=None, chunk_size=1, ignore_index=-100, alpha=1.0, beta=0.1,
        compute_nll_loss=True, nll_target=None, compiled=True, use_ref_model=False, ref_input=None, ref_weight=None,
        ref_bias=None, average_log_prob=True, accum_dtype=None, budget_bytes=None, **loss_kwargs,
    ):  # fmt: skip
        """The loss of the class `cls`; a subclass passes itself. loss_kwargs: further arguments of the formula.

        `compiled` has no effect. accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
        """
        if use_ref_model and (ref_input is None or ref_weight is None):
            raise ValueError("a reference model needs ref_input and ref_weight; give them, or use_ref_model=False")
        tensors = layer(_input, weight, bias) | {"labels": labels(target)}
        reference = layer(ref_input, ref_weight, ref_bias) if use_ref_model else {}
        likelihood = labels(nll_target) if compute_nll_loss else None
        common = {
            "ignore_index": ignore_index,
            "memory": (accum_dtype, budget_bytes),
            "of_chunks": chunk_bytes(chunk_size, 1, 2 * _input.shape[1] * weight.shape[0] * bytes_of_logits(weight)),
            "wanted": wanted(_input, weight, bias),
        }
        options = kernel_options(cls.preference_loss_fn, average_log_prob=average_log_prob, **loss_kwargs)
        if options is not None:
            tensors |= {f"reference_{name}": tensor for name, tensor in reference.items()}
            return _by_kernel(
                cls, ctx, tensors | {"likelihood_labels": likelihood}, beta=float(beta), averages=average_log_prob,
                likelihood_weight=float(alpha) if compute_nll_loss else None, **options, **common,
            )  # fmt: skip
        pairs = _Pairs(cls, target, ignore_index, average_log_prob, max(1, len(_input) // (2 * chunk_size)))
        if use_ref_model:
            pairs.read(reference, budget(budget_bytes, common["of_chunks"]))
        likely = (target if likelihood is None else likelihood) if compute_nll_loss else None
        return pairs.run(
            ctx, tensors | {"second_labels": likelihood}, likely, alpha, {"beta": beta, **loss_kwargs}, **common
        )

    @staticmethod
    def chunk_forward(
        input_chunk, weight, target_chunk, bias=None, ignore_index=-100, compute_nll_loss=True,
        chosen_nll_target_chunk=None, average_log_prob=True,
    ):  # fmt: skip
        """The step over a chunk under autograd, with whole logits, which the losses do without.

        Gives (chosen log-probabilities, rejected ones, chosen logits, rejected logits, sum of the chosen ones' -log p).
        """
        logits = F.linear(input_chunk, weight, bias)
        chosen, _ = logits.chunk(2)
        counts = target_chunk != ignore_index
        tokens = -_cross_entropy(logits, target_chunk, ignore_index, "none").view(target_chunk.shape)
        nll = 0.0
        if compute_nll_loss:
            likely = target_chunk.chunk(2)[0] if chosen_nll_target_chunk is None else chosen_nll_target_chunk
            nll = _cross_entropy(chosen, likely, ignore_index, "sum")
        return (*answer_log_probabilities(tokens, counts, average_log_prob).chunk(2), *logits.chunk(2), nll)


def _cross_entropy(logits, target, ignore_index, reduction):
    return F.cross_entropy(
        logits.float().flatten(0, -2), target.flatten(), ignore_index=ignore_index, reduction=reduction
    )


def _by_kernel(cls, ctx, tensors, **options):
    """The results of a formula of the Swift library, and of ORPO's what it has in addition."""
    out = cls.compute(ctx, "fused_linear_preference", tensors, **options)
    extras = out["odds_means"].unbind() if "odds_means" in out else ()
    return out["loss"], (
        *out["answers"].chunk(2), *out["logit_means"].unbind(), out["nll"], *out["rewards"].chunk(2), *extras,
    )  # fmt: skip


class _Pairs:
    """One evaluation of a formula that the library has no kernel for."""

    def __init__(self, cls, target, ignore_index, average, chunks):
        self.cls, self.target, self.average, self.chunks = cls, target, average, chunks
        self.ignore_index, self.counts = ignore_index, target != ignore_index
        self.reference = {}
        if len(target) % 2:
            raise ValueError(f"target has {len(target)} answers; give as many rejected ones as chosen ones")

    def answers(self, tokens):
        """The chosen answers' log-probabilities and the rejected ones'."""
        return split(answer_log_probabilities(tokens, self.counts, self.average), 2)

    def read(self, tensors, budget_bytes):
        """Computes what the formula is given of a reference model's layer."""
        scores = log_probabilities(
            tensors | {"labels": labels(self.target)}, budget_bytes, ignore_index=self.ignore_index
        )
        tokens = scores["log_probabilities"].view(self.target.shape)
        self.reference = dict(zip(("ref_chosen_logps", "ref_rejected_logps"), self.answers(tokens)))

    def run(self, ctx, tensors, likely, alpha, arguments, **options):
        """likely: labels that the likelihood is of; None where it is not computed."""
        half, vocabulary = len(self.target) // 2, tensors["weight"].shape[0]

        def evaluate(tokens, second=None):
            answers, nll = self.answers(tokens), tokens.new_zeros(())
            loss, results = self.of_formula(*answers, arguments)
            if likely is not None:
                count = (likely[:half] != self.ignore_index).sum().clamp_min(1)
                nll = -(tokens if second is None else second)[:half].sum() / count
                loss = loss + alpha * nll
            return loss, (answers, nll, results)

        loss, (answers, nll, results), sums = self.cls.of_log_probabilities(
            ctx, tensors, evaluate, sums_logits=True, **options
        )
        means = sums.view(2, -1).mean(1) / vocabulary
        return loss, (*answers, *means.unbind(), nll, *results)

    def of_formula(self, chosen, rejected, arguments):
        parts, losses = Parts(self.cls, chosen), []
        pieces = (split(tensor, self.chunks) for tensor in (chosen, rejected, *self.reference.values()))
        for own, other, *others in zip(*pieces):
            given = arguments | dict(zip(self.reference, others))
            losses.append(parts.add(self.cls.preference_loss_fn(own, other, self.target, **given)))
        parts.check()
        if len(losses) > 1 and may_check(self.cls, chosen):
            self.try_formula(chosen, rejected, arguments)
        return sum(losses), parts.results()

    def try_formula(self, chosen, rejected, arguments):
        """Raises ValueError for a formula that gives a mean of the pairs that it is given."""
        near = nearby(torch.stack([chosen, rejected]))
        pieces = [split(tensor, self.chunks)[:TRIED] for tensor in (*near.unbind(), *self.reference.values())]

        def of(first, last, times):
            own, other, *others = (torch.cat(each[first:last]) for each in pieces)
            given = arguments | dict(zip(self.reference, others))
            return self.cls.preference_loss_fn(own, other, torch.cat([self.target] * times), **given)

        sizes = [len(part) for part in pieces[0]]
        Trial(self.cls, chosen.device).of_share(
            of, len(sizes), [sizes], "divide the sum over the part by the whole batch's pairs, len(full_target) // 2"
        )
