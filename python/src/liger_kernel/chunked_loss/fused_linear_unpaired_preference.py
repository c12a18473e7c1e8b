"""Losses of answers that are each just good or bad."""

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
from liger_kernel.ops._linear_loss import mask
from liger_kernel.ops._memory import budget
from liger_kernel.ops._memory import bytes_of_logits


class LigerFusedLinearUnpairedPreferenceBase(FormulaFunction):
    """A mean over B answers of a formula of their log-probabilities.

    _input: (B, T, H), weight: (V, H), target: (B, T), preference_labels: (B), True for good answers, bias: (V).
    Gives (loss, (sums over good and over bad answers of log-probabilities, of all logits, and of rewards)) in fp32.

    A subclass may bring a formula of its own, `preference_loss_fn`. It is called for `chunk_size` answers at a time
    with (log-probabilities, preference labels, the whole target, further arguments of `forward`), with a reference
    model also ref_log_prob_chunk=. It gives the loss of these answers, alone or in a tuple before results, which take
    the place of rewards: the losses of all chunks are summed, and so are results that are numbers.
    """

    FORMULA = "preference_loss_fn"
    BIAS, GRADIENTS = 4, 5

    def preference_loss_fn(*args, **kwargs):
        """The formula, which a subclass gives."""
        raise NotImplementedError("the class has no formula. Give it a preference_loss_fn")

    @staticmethod
    def forward(
        cls, ctx, _input, weight, target, preference_labels, bias=None, chunk_size=1, ignore_index=-100,
        compiled=True, use_ref_model=False, ref_input=None, ref_weight=None, ref_bias=None, average_log_prob=False,
        accum_dtype=None, budget_bytes=None, **loss_kwargs,
    ):  # fmt: skip
        """The loss of the class `cls`; a subclass passes itself. loss_kwargs: further arguments of the formula.

        `compiled` has no effect. accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
        """
        assert preference_labels is not None, "preference_labels must be given: True for good answers"
        if use_ref_model and (ref_input is None or ref_weight is None):
            raise ValueError("a reference model needs ref_input and ref_weight; give them, or use_ref_model=False")
        preference_labels = torch.as_tensor(preference_labels, device=_input.device)
        tensors = layer(_input, weight, bias) | {"labels": labels(target)}
        reference = layer(ref_input, ref_weight, ref_bias) if use_ref_model else {}
        common = {
            "ignore_index": ignore_index,
            "memory": (accum_dtype, budget_bytes),
            "of_chunks": chunk_bytes(chunk_size, 1, _input.shape[1] * weight.shape[0] * bytes_of_logits(weight)),
            "wanted": wanted(_input, weight, bias),
        }
        options = kernel_options(cls.preference_loss_fn, **loss_kwargs)
        if options is not None:
            kl = options.pop("kl")
            if kl is not None:
                kl = torch.as_tensor(kl, dtype=torch.float32, device=_input.device)
                if kl.numel() != 1:
                    raise ValueError(f"kl must be one number for the whole batch; found shape {tuple(kl.shape)}")
                kl = kl.reshape(1)
            tensors |= {f"reference_{name}": tensor for name, tensor in reference.items()}
            tensors |= {"preferences": mask(preference_labels), "divergence": kl}
            out = cls.compute(ctx, "fused_linear_kto", tensors, averages=average_log_prob, **options, **common)
            return out["loss"], out["sums"].flatten().unbind()
        chunks, counts = max(1, len(_input) // chunk_size), target != ignore_index
        others = None
        if use_ref_model:
            budget_bytes = budget(budget_bytes, common["of_chunks"])
            given = reference | {"labels": tensors["labels"]}
            tokens = log_probabilities(given, budget_bytes, ignore_index=ignore_index)["log_probabilities"]
            others = answer_log_probabilities(tokens.view(target.shape), counts, average_log_prob)

        def evaluate(tokens):
            answers = answer_log_probabilities(tokens, counts, average_log_prob)
            parts, losses = Parts(cls, answers), []
            pieces = (split(tensor, chunks) for tensor in (answers, preference_labels, others))
            for own, preferences, other in zip(*pieces):
                given = loss_kwargs if other is None else {"ref_log_prob_chunk": other, **loss_kwargs}
                losses.append(parts.add(cls.preference_loss_fn(own, preferences, target, **given)))
            parts.check()
            if len(losses) > 1 and may_check(cls, answers):
                _try_formula(cls, (answers, preference_labels, others), target, chunks, loss_kwargs)
            return sum(losses), (answers, parts.results())

        loss, (answers, results), sums = cls.of_log_probabilities(ctx, tensors, evaluate, sums_logits=True, **common)
        good = preference_labels.bool()
        return loss, (*_sums(answers, good), *_sums(sums.view(target.shape).sum(-1), good), *results)

    @staticmethod
    def chunk_forward(
        input_chunk, weight, target_chunk, preference_labels_chunk, bias=None, ignore_index=-100,
        average_log_prob=False,
    ):  # fmt: skip
        """The step over a chunk under autograd, with whole logits, which the losses do without.

        Gives (log-probabilities, and sums over good and over bad answers of these and of the logits).
        """
        logits = F.linear(input_chunk, weight, bias)
        rows = logits.float().flatten(0, -2)
        tokens = -F.cross_entropy(rows, target_chunk.flatten(), ignore_index=ignore_index, reduction="none")
        counts, good = target_chunk != ignore_index, preference_labels_chunk.bool()
        answers = answer_log_probabilities(tokens.view(target_chunk.shape), counts, average_log_prob)
        return (answers, *_sums(answers, good), *_sums(logits.sum((1, 2)), good))


def _try_formula(cls, tensors, target, chunks, arguments):
    """Raises ValueError for a formula that gives a mean of the answers that it is given."""
    answers, preferences, others = tensors
    pieces = [split(tensor, chunks)[:TRIED] for tensor in (nearby(answers), preferences, others)]

    def of(first, last, times):
        own, good = (torch.cat(each[first:last]) for each in pieces[:2])
        given = arguments if others is None else {"ref_log_prob_chunk": torch.cat(pieces[2][first:last]), **arguments}
        return cls.preference_loss_fn(own, good, torch.cat([target] * times), **given)

    sizes = [len(part) for part in pieces[0]]
    Trial(cls, answers.device).of_share(
        of, len(sizes), [sizes], "divide the sum over the part by the whole batch's answers, len(full_target)"
    )


def _sums(values, good):
    """Over good and over bad answers."""
    return values.masked_fill(~good, 0).sum(), values.masked_fill(good, 0).sum()
