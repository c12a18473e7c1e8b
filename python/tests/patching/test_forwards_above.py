"""Forwards that call a patched class's: of a class derived from it, and those put in its place. None is lost."""

import copy
import functools

import pytest
import torch

from liger_kernel import report
from patching import tiny
from patching.every import apply
from patching.every import apply_to_classes
from patching.test_loss_forward import close

pytestmark = pytest.mark.smoke
FAMILIES = ["llama", "gemma2", "mixtral"]


def doubling(inner, calls, wrap):
    def forward(self, *args, **kwargs):
        calls.append(None)
        output = inner(self, *args, **kwargs)
        output.loss = 2 * output.loss
        return output

    return functools.wraps(inner)(forward) if wrap else forward


def derived(cls, calls, wrap, name="Doubling"):
    """A class whose forward calls that of the class beneath, whatever that is when it is called."""

    def forward(self, *args, **kwargs):
        calls.append(None)
        output = super(made, self).forward(*args, **kwargs)
        output.loss = 2 * output.loss
        return output

    made = type(name, (cls,), {"forward": functools.wraps(cls.forward)(forward) if wrap else forward})
    return made


def same_name(cls, calls, wrap):
    return derived(cls, calls, wrap, cls.__name__)


def replaced(cls, calls, wrap):
    cls.forward = doubling(cls.forward, calls, wrap)
    return cls


def check(model, plain, calls, count=1):
    """That the user's forward runs and that its loss and gradient are those of the plain model, doubled."""
    batch = tiny.text_batch()
    for training in (True, False):
        calls.clear()
        loss = model.train(training)(**batch).loss
        close(loss, 2**count * plain.train(training)(**batch).loss)
        assert len(calls) == count
        for each, value in ((model, loss), (plain, plain(**batch).loss)):
            each.zero_grad()
            value.backward()
        close(model.lm_head.weight.grad, 2**count * plain.lm_head.weight.grad)


def of_class(cls, plain):
    model = copy.deepcopy(plain)
    model.__class__ = cls
    return model


@pytest.mark.parametrize("wrap", [False, True], ids=["plain", "functools.wraps"])
@pytest.mark.parametrize("way", [derived, same_name, replaced])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_forward_above_the_patched_class_runs(family, way, wrap):
    """As it is, with the model patched too, and with the classes patched again."""
    plain, calls = tiny.text_model(family), []
    original = type(plain)
    expected = of_class(type(original.__name__, (original,), {"forward": original.forward}), plain)
    apply_to_classes(plain, cross_entropy=False, fused_linear_cross_entropy=True)
    cls = way(original, calls, wrap)
    check(of_class(cls, plain), expected, calls)
    both = of_class(cls, plain)
    apply(both, cross_entropy=False, fused_linear_cross_entropy=True)
    assert both.train()(**tiny.text_batch()).logits is None
    check(both, expected, calls)
    apply_to_classes(plain, cross_entropy=False, fused_linear_cross_entropy=True)
    check(of_class(cls, plain), expected, calls)


def test_forwards_above_one_another():
    plain, calls = tiny.text_model("llama"), []
    expected, original = copy.deepcopy(plain), type(plain)
    expected.__class__ = type(original.__name__, (original,), {"forward": original.forward})
    apply_to_classes(plain)
    replaced(original, calls, False)
    apply_to_classes(plain)
    replaced(original, calls, False)
    check(of_class(derived(original, calls, False), plain), expected, calls, count=3)


def test_a_class_derived_from_a_bound_one_and_patched():
    plain, calls = tiny.text_model("llama"), []
    bound = copy.deepcopy(plain)
    apply(bound)
    model = of_class(derived(type(bound), calls, False), plain)
    check(model, plain, calls)
    apply(model)
    check(model, plain, calls)


def test_a_forward_above_the_patched_class_is_in_the_receipt():
    plain, calls = tiny.text_model("llama"), []
    apply_to_classes(plain)
    receipt = report(of_class(derived(type(plain), calls, True), plain))
    assert "the forward of its class is" in receipt.missing["Doubling"] and "derived" in receipt.missing["Doubling"]
    replaced(type(plain), calls, True)
    assert "doubling" in report(plain).missing["LlamaForCausalLM"]


def test_a_patched_class_beneath_a_derived_one_is_compiled_as_one_graph():
    torch._dynamo.reset()
    plain, calls = tiny.text_model("llama", num_hidden_layers=1), []
    expected = plain(**tiny.text_batch()).loss
    apply_to_classes(plain)
    model = of_class(derived(type(plain), calls, False), plain)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    close(compiled(**tiny.text_batch()).loss, 2 * expected)
