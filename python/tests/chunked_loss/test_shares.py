"""A formula that does not give its part's share of the loss is refused, and right ones are not."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from own_formulas import CLASSES
from own_formulas import COUNT
from own_formulas import LENGTH
from own_formulas import Answers
from own_formulas import Pairs
from own_formulas import Rows
from own_formulas import Samples
from own_formulas import make
from own_formulas import own
from sequences import Layer

from liger_kernel import chunked_loss


def run_pairs(formula, chunk_size=1, **attributes):
    layer, labels = make("cpu", count=2 * COUNT)
    return own(Pairs, formula, **attributes).apply(layer.input, layer.weight, labels, None, {"chunk_size": chunk_size})


def run_answers(formula, chunk_size=1, **attributes):
    layer, labels = make("cpu")
    good = torch.arange(COUNT) % 3 != 0
    return own(Answers, formula, **attributes).apply(
        layer.input, layer.weight, labels, good, None, {"chunk_size": chunk_size}
    )


def run_policy(formula, chunk_size=1, **attributes):
    layer, _ = make("cpu")
    ids, A = torch.randint(CLASSES, (COUNT, LENGTH)), torch.randn(COUNT)
    mask = (torch.rand(COUNT, LENGTH) < 0.8).long()
    mask[:, 0] = 1
    # Advantages of a group cancel, so a first step's loss is 0.
    options = {"chunk_size": chunk_size, "beta": 0.0}
    return own(Samples, formula, **attributes).apply(layer.input, layer.weight, ids, mask, A - A.mean(), None, options)


def run_rows(formula, chunk_size=1024, **attributes):
    student, labels = make("cpu", count=1)
    teacher = Layer(1, LENGTH, 8, CLASSES, torch.float32, "cpu", scale=0.3, grad=False)
    arguments = (student.input[0], student.weight, teacher.input[0], teacher.weight, labels[0], None, None)
    return own(Rows, formula, **attributes).apply(*arguments, {"chunk_size": chunk_size})


def ratio(per_token_logps, advantages):
    return -(per_token_logps - per_token_logps.detach()).exp() * advantages[:, None] - 0.01 * per_token_logps


MEANS = {
    "pairs": (run_pairs, lambda c, r, full_target, **_: (c - r).square().mean()),
    "pairs, a linear loss": (run_pairs, lambda c, r, full_target, **_: (r - c).mean()),
    "answers": (run_answers, lambda own, good, full_target, **_: (own * torch.where(good, -1, 1)).mean()),
    "policy, of answers": (
        run_policy,
        lambda per_token_logps, attention_mask, advantages, **_: (
            ((ratio(per_token_logps, advantages) * attention_mask).sum(1) / attention_mask.sum(1)).mean(), ()
        ),
    ),
    "policy, of tokens": (
        run_policy,
        lambda per_token_logps, attention_mask, advantages, **_: (
            (ratio(per_token_logps, advantages) * attention_mask).sum() / attention_mask.sum(), ()
        ),
    ),
    "rows": (run_rows, lambda s, t, target, ignore_index, **_: F.mse_loss(s, t)),
    "rows, that are not ignored": (
        run_rows,
        lambda s, t, target, ignore_index, **_: (s - t).square().sum(-1)[target != ignore_index].mean(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("chunk_size", [1, 2])
@pytest.mark.parametrize("name", MEANS)
def test_a_mean_of_the_part_is_refused(name, chunk_size):
    run, formula = MEANS[name]
    if run is run_rows and chunk_size == 1:
        # Of one token, a mean is the sum.
        assert run(formula, 1).isfinite()
        return
    with pytest.raises(ValueError, match=r"gives the mean (of|over).*(divide|must give) the sum .*checks_shares = F"):
        run(formula, chunk_size)
    run(formula, chunk_size, checks_shares=False)


def test_a_mean_is_refused_where_the_batch_alone_would_not_tell():
    """As in a first step from the reference, where margins are 0, and so are their squares and any mean of them."""
    head, hidden = torch.nn.Linear(8, CLASSES, bias=False), torch.randn(6, LENGTH, 8)
    labels = torch.randint(CLASSES, (6, LENGTH))

    class Mean(chunked_loss.LigerFusedLinearDPOLoss):
        def preference_loss_fn(self, chosen, rejected, full_target, ref_chosen_logps, ref_rejected_logps, **options):
            return (chosen - rejected - ref_chosen_logps + ref_rejected_logps).square().mean(), chosen, rejected

    class Asked(Mean):
        checks_shares = False

    arguments = (head.weight, hidden, labels)
    with pytest.raises(ValueError, match=r"len\(full_target\) // 2"):
        Mean()(*arguments, ref_input=hidden, ref_weight=head.weight)
    assert Asked()(*arguments, ref_input=hidden, ref_weight=head.weight)[0] == 0


@pytest.mark.parametrize("run", [run_pairs, run_answers])
def test_a_loss_that_is_not_reduced_is_refused(run):
    with pytest.raises(ValueError, match=r"a loss of shape \(1,\).*of no dimension"):
        run(lambda own, other, *a, **k: own)


RIGHT = {
    "the sum of parts": (run_pairs, lambda c, r, full, **_: (c - r).square().sum(), (1, 2)),
    "divided by the batch": (run_pairs, lambda c, r, full, **_: (c - r).square().sum() / (len(full) // 2), (1, 2)),
    "a weighted mean": (run_pairs, lambda c, r, full, **_: (c - r).mean() * 2 * len(c) / len(full), (1, 2)),
    "a mean of one pair": (run_pairs, lambda c, r, full, **_: (c - r).mean() / (len(full) // 2), (1,)),
    "one pair at a time": (run_pairs, lambda c, r, full, **_: c.view(()) / len(full), (1,)),
    "in 16 bits": (run_pairs, lambda c, r, full, **_: (c - r).bfloat16().exp().sum() / len(full), (1, 2)),
    "of groups": (run_pairs, lambda c, r, full, **_: torch.logsumexp(r - c, 0) / len(full), (3,)),
    "nothing": (run_pairs, lambda c, r, full, **_: F.relu(c - 1).mean(), (1,)),
    "at random": (run_pairs, lambda c, r, full, **_: (c * torch.rand_like(c)).sum() / len(full), (1, 2)),
    "answers": (run_answers, lambda own, good, full, **_: own[good].sum() / len(full), (1, 2)),
    "policy": (
        run_policy,
        lambda per_token_logps, attention_mask, advantages, full_attention_mask, **_: (
            (ratio(per_token_logps, advantages) * attention_mask).sum() / full_attention_mask.sum(), ()
        ),
        (1, 4),
    ),
    "rows": (run_rows, lambda s, t, **_: (s - t).square().sum(), (1, 2, 1024)),
    "rows compared with each other": (run_rows, lambda s, t, **_: torch.logsumexp(s @ t.T, 1).sum(), (2, 1024)),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_formula_is_not_disturbed(name):
    run, formula, sizes = RIGHT[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for chunk_size in sizes:
            torch.manual_seed(3)
            checked = run(formula, chunk_size)
            torch.manual_seed(3)
            free = run(formula, chunk_size, checks_shares=False)
            first, second = (found[0] if isinstance(found, tuple) else found for found in (checked, free))
            assert torch.equal(first, second) and first.isfinite()


def test_a_loss_that_depends_on_chunk_size_is_said():
    for formula in (lambda c, r, full, **_: torch.logsumexp(r - c, 0), lambda c, r, full, **_: (c - r).norm()):
        with pytest.warns(UserWarning, match="depends on chunk_size"):
            run_pairs(formula, 2)


def test_a_formula_is_tried_once():
    calls = []

    def formula(c, r, full, **_):
        calls.append(len(c))
        return (c - r).sum() / len(full)

    layer, labels = make("cpu")
    made = own(Pairs, formula)
    made.apply(layer.input, layer.weight, labels, None, {})
    assert len(calls) > 3
    calls.clear()
    made.apply(layer.input, layer.weight, labels, None, {})
    assert calls == [1] * (COUNT // 2)
