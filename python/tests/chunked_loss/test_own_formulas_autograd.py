"""How losses with a formula of the user's own behave under autograd, and what they refuse."""

import pytest
import torch

from own_formulas import BASES
from own_formulas import COUNT
from own_formulas import Answers
from own_formulas import Pairs
from own_formulas import Rows
from own_formulas import Samples
from own_formulas import losses
from own_formulas import make
from own_formulas import own
from own_formulas import policy
from own_formulas import squares
from test_preference import gradient_launches


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("needed", [(True, False, False), (False, True, False), (False, False, True), (False,) * 3])
def test_needs(device, base, needed):
    """What is frozen gets no gradient, and the rest what it gets when all need one."""
    layer, made = losses(device)
    made[base](*layer.tensors).backward()
    tensors = [t.detach().requires_grad_(is_needed) for t, is_needed in zip(layer.tensors, needed)]
    loss = made[base](*tensors)
    assert loss.requires_grad == any(needed)
    if any(needed):
        loss.backward()
    for ours, all_of, is_needed in zip(tensors, layer.tensors, needed):
        assert torch.equal(ours.grad, all_of.grad) if is_needed else ours.grad is None


@pytest.mark.parametrize("base", BASES)
def test_without_autograd(device, base):
    """The formula runs in no_grad; nothing is differentiated."""
    layer, made = losses(device)
    with_gradient = made[base](*layer.tensors)
    before = gradient_launches()
    with torch.no_grad():
        loss = made[base](*layer.tensors)
    assert torch.equal(loss, with_gradient) and loss.grad_fn is None
    assert gradient_launches() == before


@pytest.mark.parametrize("base", BASES)
def test_accumulates(device, base):
    """Two losses of one layer, and steps one after the other, add up."""
    layer, made = losses(device)
    made[base](*layer.tensors).backward()
    once = [t.grad.clone() for t in layer.tensors]
    made[base](*layer.tensors).backward()
    for t, g in zip(layer.tensors, once):
        assert torch.equal(t.grad, g + g)
        t.grad = None
    (made[base](*layer.tensors) + 2 * made[base](*layer.tensors)).backward()
    for t, g in zip(layer.tensors, once):
        torch.testing.assert_close(t.grad, 3 * g)


@pytest.mark.parametrize("base", BASES)
def test_compiled_and_second_derivatives(device, base):
    layer, made = losses(device)
    _, weight, bias = layer.tensors

    def step(x):
        return made[base](x * 2, weight, bias) * 1.5

    torch._dynamo.reset()
    results = []
    for function in (step, torch.compile(step, backend="aot_eager")):
        layer.input.grad = None
        loss = function(layer.input)
        loss.backward()
        results.append((loss.detach(), layer.input.grad))
    assert all(torch.equal(*pair) for pair in zip(*results))
    (gradient,) = torch.autograd.grad(step(layer.input), layer.input, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        gradient.sum().backward()


@pytest.mark.parametrize("base", BASES)
def test_autocast(device, base):
    """Products in autocast's type, gradients in each tensor's own."""
    layer, made = losses(device)
    if base == "rows":
        return
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        found = made[base](*layer.tensors)
    halves = [t.detach().bfloat16().requires_grad_() for t in layer.tensors]
    wanted = made[base](*halves)
    found.backward()
    wanted.backward()
    assert torch.equal(found, wanted)
    assert all(torch.equal(t.grad, h.grad.float()) for t, h in zip(layer.tensors, halves))


REFUSALS = {
    "detached": (RuntimeError, "cannot be differentiated", lambda loss: loss.detach()),
    "a number of Python's": (RuntimeError, "cannot be differentiated", lambda loss: loss.item()),
    "an array": (ValueError, r"shape \(3,\)", lambda loss: loss.expand(3)),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("what", REFUSALS)
def test_refusals(device, base, what):
    """Losses that nothing can be learnt from, by the name of the formula."""
    kind, words, spoilt = REFUSALS[what]

    def wrong(formula):
        def run(*arguments, **options):
            found = formula(*arguments, **options)
            return (spoilt(found[0]), *found[1:]) if isinstance(found, tuple) else spoilt(found)

        return run

    layer, made = losses(device, wrong)
    with pytest.raises(kind, match=words) as error:
        made[base](*layer.tensors)
    assert "Own." in str(error.value) and "_loss_fn" in str(error.value)


@pytest.mark.parametrize("base", [Pairs, Answers, Samples, Rows])
def test_no_formula(device, base):
    layer, labels = make(device)
    good = torch.ones(COUNT, dtype=torch.bool, device=device)
    others = {Pairs: (labels,), Answers: (labels, good), Samples: (labels.clamp_min(0), labels, good.float()),
              Rows: (layer.input, layer.weight, labels)}[base]  # fmt: skip
    with pytest.raises(NotImplementedError, match=base.FORMULA):
        base.apply(layer.input, layer.weight, *others)


def test_wrong_results_of_policies(device):
    layer, labels = make(device)
    ids, A = labels.clamp_min(0), torch.ones(COUNT, device=device)
    with pytest.raises(TypeError, match="loss, metrics"):
        own(Samples, lambda **k: policy(**k)[0]).apply(layer.input, layer.weight, ids, ids, A)
    with pytest.raises(ValueError, match="as many rejected"):
        own(Pairs, squares).apply(layer.input[:3], layer.weight, labels[:3])
