"""What tests of formulas of the user's own share: a subclass of each base, formulas, and whole logits in float64."""

import inspect
import types

import torch

from conftest import check_close
from sequences import IGNORED
from sequences import Layer
from sequences import answers
from sequences import check_results
from sequences import log_probabilities
from sequences import targets

from liger_kernel.chunked_loss.fused_linear_distillation import LigerFusedLinearDistillationBase
from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from liger_kernel.chunked_loss.fused_linear_preference import LigerFusedLinearPreferenceBase
from liger_kernel.chunked_loss.fused_linear_unpaired_preference import LigerFusedLinearUnpairedPreferenceBase

COUNT, LENGTH, HIDDEN, CLASSES = 6, 5, 8, 37


def backward_of(base, count):
    """A subclass's backward as upstream's are written: the base's first gradients, then None for its own arguments."""

    @staticmethod
    def backward(ctx, *upstream):
        return (*base.backward(ctx, upstream)[:count], *(None,) * 20)

    return backward


class Pairs(LigerFusedLinearPreferenceBase):
    """Upstream's way: a formula, and a forward that passes the class and the arguments on."""

    @classmethod
    def forward(cls, ctx, _input, weight, target, bias=None, options=types.MappingProxyType({})):
        arguments = {"_input": _input, "weight": weight, "target": target, "bias": bias, **options}
        return super().forward(cls=cls, ctx=ctx, compiled=False, **arguments)

    backward = backward_of(LigerFusedLinearPreferenceBase, 4)


def squares(chosen, rejected, full_target, beta=0.1, ref_chosen_logps=None, ref_rejected_logps=None, shift=1.0):
    """Pairs apart from one another, with numbers and arrays beside the loss."""
    c = chosen if ref_chosen_logps is None else chosen - ref_chosen_logps
    r = rejected if ref_rejected_logps is None else rejected - ref_rejected_logps
    losses = (c - r - shift) ** 2 * beta
    return losses.sum() / (len(full_target) // 2), c * beta, losses.sum()


def of_chunk(chosen, rejected, full_target, beta=0.1, **_):
    """A formula of all pairs that it is given at a time, and nothing but the loss."""
    return beta * torch.logsumexp(rejected - chosen, 0)


def pieces(count, *tensors):
    return zip(*(tensor.chunk(count) for tensor in tensors))


def joined(found):
    """As results of chunks come together."""
    parts = [part if isinstance(part, tuple) else (part,) for part in found]
    return [torch.cat(part) if part[0].dim() else sum(part) for part in zip(*parts)]


def expected_of_pairs(
    layer, labels, formula, chunk_size=1, average=True, alpha=1.0, nll=True, other=None, nll_target=None, **arguments
):
    logits, half = layer.logits(rounded=nll_target is not None), len(labels) // 2
    own = answers(logits, labels, average).chunk(2)
    given = () if other is None else answers(other.logits(), labels, average).detach().chunk(2)
    found = []
    for c, r, *refs in pieces(max(1, half // chunk_size), *own, *given):
        found.append(formula(c, r, labels, **dict(zip(("ref_chosen_logps", "ref_rejected_logps"), refs)), **arguments))
    loss, *results = joined(found)
    likely = (labels if nll_target is None else nll_target)[:half]
    likelihood = logits.new_zeros(())
    if nll:
        likelihood = -log_probabilities(logits[:half], likely).sum() / (likely != IGNORED).sum()
    means = (logits[:half].mean(), logits[half:].mean())
    return loss + alpha * likelihood, [x.detach() for x in (*own, *means, likelihood, *results)]


def check(found, wanted, layer, dtype, upstream=0.7, terms=None):
    """Loss, results and gradients, twice through one graph. terms: what a loss is a small difference of."""
    loss, results = found
    assert loss.dtype == torch.float32 and loss.shape == ()
    check_close(loss, wanted[0], torch.float32, what="loss", terms=terms)
    check_results(results, wanted[1], dict.fromkeys(range(5, len(results)), terms))
    wanted[0].backward(torch.tensor(upstream, device=loss.device).double())
    for _ in range(2):
        for tensor in layer.tensors:
            tensor.grad = None
        loss.backward(torch.tensor(upstream, device=loss.device), retain_graph=True)
        layer.check_gradients(dtype, max(1.0, upstream))


def make(device, dtype=torch.float32, count=COUNT, has_bias=True):
    layer = Layer(count, LENGTH, HIDDEN, CLASSES, dtype, device, has_bias, scale=0.3)
    return layer, targets(count, LENGTH, CLASSES, device)


def own(base, formula, **attributes):
    """A subclass of a class with a formula in the place of its own."""
    return type("Own", (base,), {base.FORMULA: staticmethod(formula), **attributes})


class Answers(LigerFusedLinearUnpairedPreferenceBase):
    @classmethod
    def forward(cls, ctx, _input, weight, target, preference_labels, bias=None, options=types.MappingProxyType({})):
        arguments = {"_input": _input, "weight": weight, "target": target, "preference_labels": preference_labels}
        return super().forward(cls=cls, ctx=ctx, bias=bias, **arguments, **options)

    backward = backward_of(LigerFusedLinearUnpairedPreferenceBase, 5)


def signed(log_probs, good, full_target, ref_log_prob_chunk=None, beta=0.1):
    ratio = log_probs if ref_log_prob_chunk is None else log_probs - ref_log_prob_chunk
    losses = (torch.where(good, 1, -1) * ratio - beta) ** 2
    return losses.sum() / len(full_target), (ratio * good).sum(), losses


class Samples(LigerFusedLinearPPOBase):
    @classmethod
    def forward(cls, ctx, _input, weight, ids, mask, advantages, bias=None, options=types.MappingProxyType({})):
        return LigerFusedLinearPPOBase.forward(cls, ctx, _input, weight, ids, mask, advantages, bias, **options)

    backward = backward_of(LigerFusedLinearPPOBase, 6)


NAMES = {
    "per_token_logps", "attention_mask", "advantages", "full_attention_mask", "ref_per_token_logps",
    "old_per_token_logps", "epsilon_low", "epsilon_high", "beta", "loss_type", "max_completion_length",
    "importance_sampling_level", "sapo_temperature_pos", "sapo_temperature_neg", "vllm_is_ratio", "delta",
    "use_bias_correction_kl", "vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg",
    "num_items_in_batch",
}  # fmt: skip


def policy(per_token_logps, attention_mask, advantages, full_attention_mask, old_per_token_logps=None,
           ref_per_token_logps=None, vllm_is_ratio=None, beta=0.0, **options):  # fmt: skip
    """A squared hinge of ratios with a distance to the reference, and numbers and arrays beside it."""
    assert {*options} == {*REST}
    old = per_token_logps.detach() if old_per_token_logps is None else old_per_token_logps
    losses = (1 + advantages[:, None] * (per_token_logps - old)).clamp(min=0) ** 2
    if vllm_is_ratio is not None:
        losses = losses * vllm_is_ratio
    k = 0 * losses if ref_per_token_logps is None else (per_token_logps - ref_per_token_logps).abs()
    total = full_attention_mask.sum()
    loss = ((losses + beta * k) * attention_mask).sum() / total
    return loss, [(k * attention_mask).sum() / total, losses.mean(-1)]


# Arguments that it does not read.
REST = dict.fromkeys(NAMES - set(inspect.signature(policy).parameters))


class Rows(LigerFusedLinearDistillationBase):
    @classmethod
    def forward(cls, ctx, x, weight, teacher, teacher_weight, target, bias=None, teacher_bias=None,
                options=types.MappingProxyType({})):  # fmt: skip
        return super().forward(
            cls=cls, ctx=ctx, student_input=x, student_weight=weight, teacher_input=teacher,
            teacher_weight=teacher_weight, target=target, student_bias=bias, teacher_bias=teacher_bias, **options,
        )  # fmt: skip

    backward = backward_of(LigerFusedLinearDistillationBase, 6)


def distances(student, teacher, target=None, ignore_index=None, beta=0.5):
    counts = target != ignore_index
    return (beta * ((student - teacher) ** 2).mean(-1) * counts).sum()


def reverse_divergence(student, teacher, target=None, ignore_index=None, beta=0.5, power=1.0):
    q, p = student.log_softmax(-1), teacher.log_softmax(-1)
    return ((q.exp() * (q - p)).sum(-1) ** power)[target != ignore_index].sum()


def written_over(student, teacher, target=None, ignore_index=None, beta=0.5):
    student.mul_(2.0)
    teacher.sub_(1.0)
    return distances(student, teacher, target, ignore_index)


FORMULAS = {"pairs": squares, "answers": signed, "policy": policy, "rows": distances}
BASES = [*FORMULAS]


def losses(device, changed=lambda formula: formula):
    """A layer, and a loss of (input, weight, bias) of each base by a formula of the user's, or one made of it."""
    layer, labels = make(device)
    good, A = torch.arange(COUNT, device=device) % 2 == 0, torch.randn(COUNT, device=device)
    ids, mask = labels.clamp_min(0), (labels != IGNORED).long()
    teacher = Layer(COUNT, LENGTH, HIDDEN, CLASSES, torch.float32, device, scale=0.3, grad=False)
    bases = zip((Pairs, Answers, Samples, Rows), FORMULAS.values())
    pairs, answers, samples, rows = (own(base, changed(formula)) for base, formula in bases)
    return layer, {
        "pairs": lambda x, w, b: pairs.apply(x, w, labels, b)[0],
        "answers": lambda x, w, b: answers.apply(x, w, labels, good, b)[0],
        "policy": lambda x, w, b: samples.apply(x, w, ids, mask, A, b)[0],
        "rows": lambda x, w, b: rows.apply(
            x.flatten(0, 1), w, teacher.input.flatten(0, 1), teacher.weight, labels.flatten(), b
        ),
    }
