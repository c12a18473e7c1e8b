"""Inputs that do not fit are refused with a sentence on what was found and what to do."""

import pytest
import torch

from test_compile import CASES

from liger_kernel import chunked_loss
from liger_kernel.transformers import functional
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

ANSWERS, TOKENS, HIDDEN, CLASSES = 4, 6, 16, 29
X, W = torch.randn(ANSWERS, TOKENS, HIDDEN), torch.randn(CLASSES, HIDDEN)
LABELS = torch.randint(0, CLASSES, (ANSWERS, TOKENS))
GOOD = torch.tensor([True, False, True, False])


def dpo(labels=LABELS, reference=X):
    return chunked_loss.LigerFusedLinearDPOLoss()(W, X, labels, ref_input=reference, ref_weight=W)


def kto(good=GOOD, **options):
    return chunked_loss.LigerFusedLinearKTOLoss()(X, W, LABELS, preference_labels=good, **options)


def grpo(answers, tokens):
    loss = chunked_loss.LigerFusedLinearGRPOLoss(beta=0.0, use_ref_model=False)
    return loss(X[:answers, :tokens], W, LABELS[:answers, :tokens], torch.ones(answers, tokens), torch.ones(answers))


WRONG = {
    "labels of numbers with a point": (lambda: dpo(LABELS.float()), "the labels are torch.float32 and must be whole numbers"),
    "labels of bytes": (lambda: liger_fused_linear_cross_entropy(X[0], W, LABELS[0].byte()), "the labels are torch.uint8 and"),
    "no answers": (lambda: chunked_loss.LigerFusedLinearCPOLoss()(W, X[:0], LABELS[:0]), "Skip a batch that has none"),
    "no completions": (lambda: grpo(0, TOKENS), "Skip a batch that has none"),
    "completions without tokens": (lambda: grpo(ANSWERS, 0), "Skip a batch that has none"),
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


def weight_first(name):
    """A norm's function whose weight holds whole numbers."""
    ones = torch.ones(HIDDEN, dtype=torch.int64)
    more = {"liger_layer_norm": (torch.zeros(HIDDEN),), "liger_fused_add_rms_norm": ()}.get(name, ())
    rows = (X, X) if name == "liger_fused_add_rms_norm" else (X,)
    return getattr(functional, name)(*rows, ones, *more, 1e-6)


@pytest.mark.parametrize("name", ["liger_rms_norm", "liger_layer_norm", "liger_fused_add_rms_norm"])
def test_a_weight_of_whole_numbers(name):
    with pytest.raises(ValueError, match="the weight is torch.int64 and must be torch.float32.* Convert it first"):
        weight_first(name)


@pytest.mark.parametrize("wrong", [None, [1.0, 2.0], torch.tensor(1.0)])
@pytest.mark.parametrize("name", [name for name in CASES if "entropy" not in name and name != "embedding"])
def test_what_is_no_tensor_or_a_number(name, wrong):
    """Said by every operation, with what it was given."""
    function, shapes = CASES[name]
    if not isinstance(wrong, torch.Tensor) and name in ("kl_div", "kl_div_none", "jsd", "tvd"):
        pytest.skip("the case itself detaches its input")
    inputs = [wrong, *(torch.randn(shape) for shape in shapes[1:])]
    sentence = "cannot work with what it was given .*help|Give|must|found"
    with pytest.raises((TypeError, ValueError, AssertionError), match=sentence):
        function(*inputs)


def test_an_error_in_a_formula_of_ones_own_stays():
    class Own(chunked_loss.cpo_loss.LigerFusedLinearCPOFunction):
        @staticmethod
        def preference_loss_fn(chosen, rejected, full_target, **options):
            return chosen.nothing_of_this_name

    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        Own.apply(X, W, LABELS)


@pytest.mark.parametrize("q, k", [((4, 6, 8), (4, 6, 8)), ((1, 4, 6, 8), (4, 6, 8))])
def test_heads_without_a_batch(q, k):
    angles = torch.randn(6, 8)
    with pytest.raises(ValueError, match=r"\(4, 6, 8\)"):
        functional.liger_rope(torch.randn(q), torch.randn(k), angles, angles)


def test_logits_that_a_patched_model_left_out():
    with pytest.raises(TypeError, match="needs logits; found None. .* skip_logits=False"):
        functional.liger_cross_entropy(None, LABELS[0])


def test_judgements_may_be_a_list():
    assert kto(GOOD.tolist())[0] == kto()[0]
