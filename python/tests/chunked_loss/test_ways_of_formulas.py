"""Every way of giving a loss a formula of the user's own."""

import functools

import pytest
import torch

from own_formulas import COUNT
from own_formulas import check
from own_formulas import expected_of_pairs
from own_formulas import make
from own_formulas import of_chunk
from own_formulas import own
from own_formulas import squares

from liger_kernel import chunked_loss
from liger_kernel import launch_counts
from liger_kernel.chunked_loss.cpo_loss import LigerFusedLinearCPOFunction

# Each makes a function of (input, weight, target, bias).


def subclass(formula):
    return own(LigerFusedLinearCPOFunction, formula).apply


def subclass_of_a_subclass(formula):
    return own(own(LigerFusedLinearCPOFunction, of_chunk), formula).apply


def inherited(formula):
    return type("Own", (own(LigerFusedLinearCPOFunction, formula),), {}).apply


def plain_function(formula):
    return type("Own", (LigerFusedLinearCPOFunction,), {"preference_loss_fn": formula}).apply


def class_method(formula):
    method = classmethod(lambda cls, *a, **k: formula(*a, **k))
    return type("Own", (LigerFusedLinearCPOFunction,), {"preference_loss_fn": method}).apply


def partial(formula):
    return type("Own", (LigerFusedLinearCPOFunction,), {"preference_loss_fn": functools.partial(formula)}).apply


def named_as_ours(formula):
    """functools.wraps copies what is written on a function."""
    ours = LigerFusedLinearCPOFunction.preference_loss_fn
    return subclass(functools.wraps(ours)(lambda *a, **k: formula(*a, **k)))


def forward_of_its_own(formula):
    class Own(LigerFusedLinearCPOFunction):
        preference_loss_fn = staticmethod(formula)

        @classmethod
        def forward(cls, ctx, weight, target, _input, bias=None):
            return super().forward(ctx, _input, weight, target, bias)

        @staticmethod
        def backward(ctx, *upstream):
            x, weight, _, bias = LigerFusedLinearCPOFunction.backward(ctx, *upstream)[:4]
            return weight, None, x, bias

    return lambda x, weight, target, bias: Own.apply(weight, target, x, bias)


def module_with_a_function(formula):
    class Own(chunked_loss.LigerFusedLinearCPOLoss):
        def forward(self, *arguments):
            return subclass(formula)(*arguments)

    return Own()


def module_with_a_formula(formula):
    made = type("Own", (chunked_loss.LigerFusedLinearCPOLoss,), {"preference_loss_fn": staticmethod(formula)})()
    return lambda x, weight, target, bias: made(weight, x, target, bias)


def module_with_a_method(formula):
    class Own(chunked_loss.LigerFusedLinearCPOLoss):
        def preference_loss_fn(self, *arguments, **options):
            assert self.alpha == 1.0
            return formula(*arguments, **options)

    made = Own()
    return lambda x, weight, target, bias: made(weight, x, target, bias)


WAYS = [
    subclass, subclass_of_a_subclass, inherited, plain_function, class_method, partial, named_as_ours,
    forward_of_its_own, module_with_a_function, module_with_a_formula, module_with_a_method,
]  # fmt: skip


def of_cpo(chosen, rejected, full_target, beta=0.1, label_smoothing=0.0):
    return squares(chosen, rejected, full_target, beta)


@pytest.mark.parametrize("way", WAYS)
def test_ways(device, way):
    layer, labels = make(device)
    calls = []

    def formula(*arguments, **options):
        calls.append(options)
        return of_cpo(*arguments, **options)

    found = way(formula)(layer.input, layer.weight, labels, layer.bias)
    # The first batch tries it on some more parts.
    assert len(calls) >= COUNT // 2 and all(each == {"beta": 0.1, "label_smoothing": 0.0} for each in calls)
    check(found, expected_of_pairs(layer, labels, squares, average=False), layer, torch.float32)


@pytest.mark.parametrize("place", ["class", "instance"])
def test_monkeypatched(device, monkeypatch, place):
    """On our own class, and on one loss alone; the class runs its kernel again after."""
    layer, labels = make(device)
    loss = chunked_loss.LigerFusedLinearCPOLoss()
    before = loss(layer.weight, layer.input, labels, layer.bias)[0]
    target = LigerFusedLinearCPOFunction if place == "class" else loss
    with monkeypatch.context() as patch:
        patch.setattr(target, "preference_loss_fn", of_cpo, raising=False)
        found = loss(layer.weight, layer.input, labels, layer.bias)
        check(found, expected_of_pairs(layer, labels, squares, average=False), layer, torch.float32)
    launches = launch_counts().get("PairKernel", 0)
    assert torch.equal(loss(layer.weight, layer.input, labels, layer.bias)[0], before)
    assert launch_counts()["PairKernel"] > launches
