"""Names of formulas and bounds of numbers that Python states are the library's."""

import math

import pytest
import torch

from liger_kernel import _signature
from liger_kernel._call import call
from liger_kernel.chunked_loss import LigerFusedLinearCPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearSimPOLoss
from liger_kernel.chunked_loss import dpo_loss
from liger_kernel.ops import _policy
from liger_kernel.ops import rms_norm
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.functional import liger_kl_div
from liger_kernel.transformers.functional import liger_tvd

OTHER_PREFERENCES = ("cpo", "simpo", "orpo")


def words(operation, option):
    return next(each.words for each in _signature.signature(operation).options if each.name == option)


@pytest.mark.parametrize(
    "stated, operation, option",
    [
        ((*dpo_loss.LOSS_TYPES, *OTHER_PREFERENCES), "fused_linear_preference", "formula"),
        (_policy.LOSS_TYPES, "fused_linear_grpo", "formula"),
        (_policy.LOSS_TYPES, "grpo", "formula"),
        ([name for name in rms_norm._CASTINGS if isinstance(name, str)], "rms_norm_forward", "casting"),
        ([name for name in rms_norm._CASTINGS if isinstance(name, str)], "fused_add_rms_norm_forward", "casting"),
    ],
)
def test_names(stated, operation, option):
    assert tuple(stated) == tuple(words(operation, option))


@pytest.mark.parametrize(
    "function, operation",
    [(liger_cross_entropy, "cross_entropy"), (liger_kl_div, "divergence"), (liger_tvd, "divergence")],
)
def test_reductions(function, operation):
    known = {word.lower() for word in words(operation, "reduction")}
    target = torch.tensor([1, 0]) if operation == "cross_entropy" else torch.full((2, 3), 0.3)
    x = torch.full((2, 3), 0.2)
    for name in known:
        assert torch.isfinite(function(x, target, reduction=name)).all()
    for name in {"none", "sum", "mean", "batchmean", "other"} - known:
        with pytest.raises((ValueError, AssertionError), match=name):
            function(x, target, reduction=name)


def is_taken(run):
    try:
        run()
    except ValueError:
        return False
    return True


NUMBERS = (-math.inf, -0.1, 0.0, 1e-6, 0.3, 0.4999, 0.5, 0.7, 0.9999, 1.0, 1.1, math.inf, math.nan)


@pytest.mark.parametrize("name", [*dpo_loss.LOSS_TYPES, "cpo", "simpo"])
def test_label_smoothings(name):
    """What a loss refuses, and what the library does."""
    labels, tensors = torch.zeros(2, 3, dtype=torch.int64), {"input": torch.ones(2, 3, 8), "weight": torch.ones(5, 8)}

    def module(smoothing):
        others = {"cpo": LigerFusedLinearCPOLoss, "simpo": LigerFusedLinearSimPOLoss}
        if name in others:
            return others[name](label_smoothing=smoothing)(tensors["weight"], tensors["input"], labels)
        return LigerFusedLinearDPOLoss(loss_type=name, label_smoothing=smoothing, use_ref_model=False)

    def kernel(smoothing):
        options = {"beta": 0.1, "formula": name, "label_smoothing": smoothing, "averages": name == "simpo", "needs": 0}
        call("fused_linear_preference", tensors | {"labels": labels}, **options)

    taken = {number: is_taken(lambda: module(number)) for number in NUMBERS}
    assert taken == {number: is_taken(lambda: kernel(number)) for number in NUMBERS}
    assert all(taken.values()) or (taken[0.3] and not taken[-0.1])
