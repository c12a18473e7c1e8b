"""DPO and its relatives, CPO, SimPO and ORPO against their formulas in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from sequences import IGNORED
from sequences import Layer
from sequences import answers
from sequences import check_results
from sequences import log_probabilities
from sequences import targets

from liger_kernel import _library
from liger_kernel import launch_counts
from liger_kernel.chunked_loss import LigerFusedLinearCPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearSimPOLoss
from liger_kernel.chunked_loss import functional
from liger_kernel.chunked_loss.dpo_loss import LOSS_TYPES

SHAPES = [(1, 1, 3, 5), (2, 7, 33, 61), (3, 5, 8, 131)]


def dpo(kind, a, b, beta, smoothing, tau):
    d, log_sigmoid, sigmoid = a - b, F.logsigmoid, torch.sigmoid
    if kind == "sigmoid":
        return -log_sigmoid(d)
    if kind == "hinge":
        return (1 - d).relu()
    if kind == "exo_pair":
        log = torch.tensor([smoothing, 1 - smoothing], dtype=torch.float64).log()
        return sigmoid(d) * (log_sigmoid(d) - log[1]) + sigmoid(-d) * (log_sigmoid(-d) - log[0])
    if kind == "nca_pair":
        return -log_sigmoid(a) - 0.5 * log_sigmoid(-a) - 0.5 * log_sigmoid(-b)
    if kind == "robust":
        return (-(1 - smoothing) * log_sigmoid(d) + smoothing * log_sigmoid(-d)) / (1 - 2 * smoothing)
    if kind == "bco_pair":
        return -log_sigmoid(a) - log_sigmoid(-b)
    if kind == "sppo_hard":
        return (a / beta - 0.5 / beta) ** 2 + (b / beta + 0.5 / beta) ** 2
    if kind == "apo_zero":
        return 1 - sigmoid(a) + sigmoid(b)
    if kind == "apo_down":
        return sigmoid(a) + 1 - sigmoid(d)
    if kind == "discopop":
        m = sigmoid(d / tau)
        return -log_sigmoid(d) * (1 - m) + (-d).exp() * m
    raise AssertionError(kind)


def smoothed(d, smoothing):
    return -(1 - smoothing) * F.logsigmoid(d) - smoothing * F.logsigmoid(-d)


def log_odds(c, r):
    return (c - r) - ((1 - c.exp()).log() - (1 - r.exp()).log())


def expected(layer, labels, formula, beta, alpha, nll, average, reference=None, nll_labels=None):
    """The whole loss and what comes with it; formula: of c, r, a and b."""
    logits, pairs = layer.logits(rounded=nll_labels is not None), labels.shape[0] // 2
    c, r = answers(logits, labels, average).chunk(2)
    others = torch.zeros_like(torch.cat([c, r]))
    if reference is not None:
        others = answers(reference.logits(rounded=not layer.is_exact), labels, average)
    a, b = beta * (c - others[:pairs]), beta * (r - others[pairs:])
    likely = (labels if nll_labels is None else nll_labels)[:pairs]
    count = (likely != IGNORED).sum().clamp_min(1)
    likelihood = -log_probabilities(logits[:pairs], likely).sum() / count if nll else torch.zeros((), device=c.device)
    loss = alpha * likelihood + formula(c, r, a, b).mean()
    return loss, (c, r, logits[:pairs].mean(), logits[pairs:].mean(), likelihood, a, b)


def check(found, wanted, layer, dtype, terms=None):
    assert found[0].dtype == torch.float32 and found[0].shape == ()
    check_close(found[0], wanted[0], torch.float32, what="loss")
    check_results(found[1], [w.detach() for w in wanted[1]], terms or {})
    upstream = torch.tensor(0.7, device=found[0].device)
    found[0].backward(upstream, retain_graph=True)
    wanted[0].backward(upstream.double())
    layer.check_gradients(dtype)
    first = [t.grad.clone() for t in layer.tensors]
    for t in layer.tensors:
        t.grad = None
    found[0].backward(upstream)
    assert all(torch.equal(t.grad, g) for t, g in zip(layer.tensors, first))


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_reference", [True, False])
def test_dpo(device, kind, shape, has_reference):
    pairs, length, hidden, classes = shape
    beta, smoothing, tau = 0.2, 0.1, 0.5
    layer = Layer(2 * pairs, length, hidden, classes, torch.float32, device, scale=0.3)
    other = Layer(2 * pairs, length, hidden + 2, classes, torch.float32, device, scale=0.3, grad=False)
    labels = targets(2 * pairs, length, classes, device)
    loss = LigerFusedLinearDPOLoss(
        beta=beta, loss_type=kind, label_smoothing=smoothing, discopop_tau=tau, use_ref_model=has_reference
    )
    found = loss(layer.weight, layer.input, labels, layer.bias, other.input, other.weight, other.bias)
    wanted = expected(
        layer, labels, lambda c, r, a, b: dpo(kind, a, b, beta, smoothing, tau), beta, 1.0, False, False,
        other if has_reference else None,
    )  # fmt: skip
    check(found, wanted, layer, torch.float32)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("nll", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("chunk_size", [1, 2])
def test_dpo_options(device, dtype, average, nll, has_bias, chunk_size):
    layer = Layer(6, 5, 16, 67, dtype, device, has_bias, scale=0.3)
    other = Layer(6, 5, 16, 67, dtype, device, has_bias, scale=0.3, grad=False)
    labels = targets(6, 5, 67, device)
    loss = LigerFusedLinearDPOLoss(
        beta=0.3, alpha=0.6, compute_nll_loss=nll, average_log_prob=average, chunk_size=chunk_size
    )
    found = loss(layer.weight, layer.input, labels, layer.bias, other.input, other.weight, other.bias)
    wanted = expected(layer, labels, lambda c, r, a, b: -F.logsigmoid(a - b), 0.3, 0.6, nll, average, other)
    check(found, wanted, layer, dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["cpo", "simpo", "orpo"])
@pytest.mark.parametrize("nll", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_others(device, dtype, shape, name, nll, smoothing):
    pairs, length, hidden, classes = shape
    layer = Layer(2 * pairs, length, hidden, classes, dtype, device, scale=0.3)
    labels, beta, alpha, gamma = targets(2 * pairs, length, classes, device), 0.4, 0.6, 0.3
    nll_labels = targets(2 * pairs, length, classes, device, 0.1) if name == "orpo" and smoothing else None
    arguments = (layer.weight, layer.input, labels, layer.bias)
    if name == "cpo":
        loss = LigerFusedLinearCPOLoss(beta=beta, alpha=alpha, label_smoothing=smoothing, compute_nll_loss=nll)
        formula = lambda c, r, a, b: smoothed(a - b, smoothing)  # noqa: E731
    elif name == "simpo":
        loss = LigerFusedLinearSimPOLoss(
            beta=beta, alpha=alpha, label_smoothing=smoothing, compute_nll_loss=nll, gamma=gamma
        )
        formula = lambda c, r, a, b: smoothed(a - b - gamma, smoothing)  # noqa: E731
    else:
        loss, alpha = LigerFusedLinearORPOLoss(beta=beta, compute_nll_loss=nll), 1.0
        formula = lambda c, r, a, b: -beta * F.logsigmoid(log_odds(c, r))  # noqa: E731
        arguments += (nll_labels,)
    wanted = expected(layer, labels, formula, beta, alpha, nll, name != "cpo", nll_labels=nll_labels)
    terms = {}
    if name == "orpo":
        c, r = wanted[1][:2]
        odds = log_odds(c, r)
        wanted = wanted[0], wanted[1] + (F.logsigmoid(odds).mean(), odds.mean())
        # Log odds are small differences of log-probabilities, and their mean is smaller still.
        terms = {8: (c, r)}
    check(loss(*arguments), wanted, layer, dtype, terms)


def losses(use_ref_model=False):
    yield "dpo", lambda *a: LigerFusedLinearDPOLoss(use_ref_model=use_ref_model, compute_nll_loss=True)(*a)
    for name, module in (
        ("cpo", LigerFusedLinearCPOLoss), ("simpo", LigerFusedLinearSimPOLoss), ("orpo", LigerFusedLinearORPOLoss),
    ):  # fmt: skip
        yield name, module()


ALL = dict(losses())


@pytest.mark.parametrize("name", ALL)
def test_nothing_counts(device, name):
    layer = Layer(4, 3, 8, 17, torch.float32, device)
    labels = torch.full((4, 3), IGNORED, device=device)
    loss, results = ALL[name](layer.weight, layer.input, labels, layer.bias)
    loss.backward()
    assert loss.item() == 0
    assert all(bool((t.grad == 0).all()) for t in layer.tensors)
    assert all(bool(r.isfinite().all()) for r in results)


@pytest.mark.parametrize("name", ALL)
def test_identical_pairs(device, name):
    """The preference's gradients cancel where both answers share a row's input: only the likelihood's are left."""
    layer = Layer(2, 3, 8, 17, torch.float32, device)
    with torch.no_grad():
        layer.input[1] = layer.input[0]
    labels = targets(1, 3, 17, device).repeat(2, 1)
    loss, (chosen, rejected, *_) = ALL[name](layer.weight, layer.input, labels, layer.bias)
    assert torch.equal(chosen, rejected)
    loss.backward()
    x, weight, bias = (t.detach().double().requires_grad_() for t in layer.tensors)
    F.cross_entropy((x[0] @ weight.T + bias), labels[0], ignore_index=IGNORED).backward()
    check_close(layer.weight.grad, weight.grad, torch.float32, what="gradient of the weight")


@pytest.mark.parametrize("kind", LOSS_TYPES)
def test_extreme_ratios(device, kind):
    """Logits of a few hundred: everything stays finite and close to float64."""
    layer = Layer(4, 3, 8, 17, torch.float32, device, scale=60.0)
    labels = targets(4, 3, 17, device)
    loss = LigerFusedLinearDPOLoss(beta=0.5, loss_type=kind, use_ref_model=False, label_smoothing=0.1, discopop_tau=0.5)
    found = loss(layer.weight, layer.input, labels, layer.bias)
    found[0].backward()
    assert bool(found[0].isfinite()) and all(bool(t.grad.isfinite().all()) for t in layer.tensors)
    if kind != "discopop":  # Whose e^-d overflows in the plain formula.
        formula = lambda c, r, a, b: dpo(kind, a, b, 0.5, 0.1, 0.5)  # noqa: E731
        wanted = expected(layer, labels, formula, 0.5, 1.0, False, False)
        check_close(found[0], wanted[0], torch.float32, what="loss")


def gradient_launches():
    return sum(count for name, count in launch_counts().items() if "TokenGradientRows" in name)


@pytest.mark.parametrize("name", ALL)
def test_needs(device, name):
    """What needs no gradient gets none, and without autograd there are none at all."""
    layer = Layer(4, 3, 8, 17, torch.float32, device)
    labels = targets(4, 3, 17, device)
    both = ALL[name](layer.weight, layer.input, labels, layer.bias)[0]
    both.backward()
    x = layer.input.detach().requires_grad_()
    loss = ALL[name](layer.weight.detach(), x, labels, layer.bias.detach())[0]
    loss.backward()
    assert torch.equal(x.grad, layer.input.grad) and torch.equal(loss, both)
    before = gradient_launches()
    with torch.no_grad():
        loss = ALL[name](layer.weight, layer.input, labels, layer.bias)[0]
    assert torch.equal(loss, both) and loss.grad_fn is None
    assert gradient_launches() == before > 0


def test_compiled_and_second_derivatives(device):
    """Under torch.compile the numbers are the same; a gradient refuses to be differentiated."""
    layer = Layer(4, 3, 8, 17, torch.float32, device)
    labels = targets(4, 3, 17, device)
    module = ALL["dpo"]

    def step(x):
        loss, (chosen, *_) = module(layer.weight, x * 2, labels, layer.bias)
        return loss * 1.5, chosen

    torch._dynamo.reset()
    results = []
    for function in (step, torch.compile(step, backend="aot_eager")):
        layer.input.grad = None
        loss, chosen = function(layer.input)
        loss.backward()
        results.append((loss.detach(), chosen, layer.input.grad))
    assert all(torch.equal(*pair) for pair in zip(*results))
    (gradient,) = torch.autograd.grad(step(layer.input)[0], layer.input, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        gradient.sum().backward()


def test_autocast(device):
    """Products in autocast's type, gradients in each tensor's own."""
    layer = Layer(4, 3, 8, 17, torch.float32, device)
    labels = targets(4, 3, 17, device)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        found = ALL["dpo"](layer.weight, layer.input, labels, layer.bias)[0]
    halves = [t.detach().bfloat16().requires_grad_() for t in layer.tensors]
    wanted = ALL["dpo"](halves[1], halves[0], labels, halves[2])[0]
    found.backward()
    wanted.backward()
    assert torch.equal(found, wanted)
    assert all(torch.equal(t.grad, h.grad.float()) for t, h in zip(layer.tensors, halves))


def test_functional_orders(device):
    layer = Layer(4, 3, 8, 17, torch.float32, device)
    labels = targets(4, 3, 17, device)
    args = (layer.input, layer.weight, labels, layer.bias)
    modules = {
        "dpo": (LigerFusedLinearDPOLoss, (None, None, None, -100, 0.1, False, False, False), {"use_ref_model": False}),
        "cpo": (LigerFusedLinearCPOLoss, (-100, 0.1, 1.0, 0.0, True, False), {}),
        "simpo": (LigerFusedLinearSimPOLoss, (-100, 0.1, 1.0, 0.0, True, False), {}),
        "orpo": (LigerFusedLinearORPOLoss, (-100, 0.1, True, None, False), {}),
    }
    for name, (module, rest, options) in modules.items():
        found = getattr(functional, f"liger_fused_linear_{name}")(*args, *rest)
        assert torch.equal(found[0], module(**options)(layer.weight, layer.input, labels, layer.bias)[0]), name


def test_refusals(device):
    layer = Layer(2, 3, 8, 17, torch.float32, device)
    labels = targets(2, 3, 17, device)
    for options in (
        {"loss_type": "none"}, {"loss_type": "ipo"}, {"loss_type": "exo_pair"},
        {"loss_type": "robust", "label_smoothing": 0.5}, {"loss_type": "robust", "label_smoothing": -0.1},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            LigerFusedLinearDPOLoss(**options)

    def run(loss_type="sigmoid", chunk_size=1, input=layer.input, labels=labels, use_ref_model=False):
        functional.liger_fused_linear_dpo(
            input, layer.weight, labels, None, None, None, None, -100, 0.1, False, False, use_ref_model, False,
            chunk_size, loss_type,
        )  # fmt: skip

    with pytest.raises(NotImplementedError):
        run("ipo")
    for wrong in (
        {"loss_type": "none"}, {"chunk_size": 0}, {"use_ref_model": True}, {"labels": labels[:1]},
        {"input": layer.input[:, :2]},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            run(**wrong)
    with pytest.raises(IndexError, match="label"):
        run(labels=torch.full_like(labels, 17))
        # A GPU finds them while the host goes on, which hears of it at its next call or as it waits.
        _library.synchronize(torch.device(device))
    run()
    for module in (LigerFusedLinearCPOLoss, LigerFusedLinearSimPOLoss):
        with pytest.raises(ValueError):
            module(label_smoothing=1.5)(layer.weight, layer.input, labels)
