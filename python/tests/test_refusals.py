"""Inputs that do not fit are refused with a sentence on what was found and what to do."""

import pytest
import torch

from liger_kernel import chunked_loss
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

ANSWERS, TOKENS, HIDDEN, CLASSES = 4, 6, 16, 29
X, W = torch.randn(ANSWERS, TOKENS, HIDDEN), torch.randn(CLASSES, HIDDEN)
LABELS = torch.randint(0, CLASSES, (ANSWERS, TOKENS))
GOOD = torch.tensor([True, False, True, False])


def dpo(labels=LABELS, reference=X):
    return chunked_loss.LigerFusedLinearDPOLoss()(W, X, labels, ref_input=reference, ref_weight=W)


def kto(good=GOOD, **options):
    return chunked_loss.LigerFusedLinearKTOLoss()(X, W, LABELS, preference_labels=good, **options)


WRONG = {
    "labels of numbers with a point": (lambda: dpo(LABELS.float()), "the labels are torch.float32 and must be whole numbers"),
    "the same of a layer": (lambda: liger_fused_linear_cross_entropy(X[0], W, LABELS[0].double()), "are torch.float64"),
    "fewer labels": (lambda: dpo(LABELS[:, 1:]), r"have shape \(4, 5\), 20 in all, .* has 24 rows. Give one for each row"),
    "fewer labels of a layer": (lambda: liger_fused_linear_cross_entropy(X[0], W, LABELS[0, 1:]), "has 6 rows"),
    "another reference": (lambda: dpo(reference=X[:2]), r"the reference model's input has shape \(2, 6, 16\)"),
    "fewer judgements": (lambda: kto(GOOD[1:]), r"preferences have shape \(3,\), .* has 4 answers. Give one for each answer"),
    "a divergence an answer": (lambda: kto(kl=torch.ones(4)), r"kl must be one number .*; found shape \(4,\)"),
    "a weight of another width": (lambda: chunked_loss.LigerFusedLinearCPOLoss()(W[:, 1:], X, LABELS[:, 1:]), "weight must be"),
}  # fmt: skip


@pytest.mark.parametrize("run, sentence", WRONG.values(), ids=WRONG)
def test_inputs_that_do_not_fit(run, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        run()


def test_judgements_may_be_a_list():
    assert kto(GOOD.tolist())[0] == kto()[0]
