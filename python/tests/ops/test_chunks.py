"""What losses composed of chunks dispatch to, against its definition in float64, and without graph breaks."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import random
from conftest import twin

from liger_kernel import functional
from liger_kernel.backends import all_impls
from liger_kernel.backends import dispatch
from liger_kernel.backends import registry

ROWS, CLASSES, COUNTED = 6, 37, 11
LABELS = torch.tensor([3, -100, 0, 36, -100, 7])
IS_COUNTED = LABELS != -100


def check(name, chunk, arguments, reference, dtype):
    """A chunk's losses and gradient, that nothing is written over, and that ignored rows may hold anything."""
    before = chunk.detach().clone()
    losses, *_, gradient = dispatch(name, chunk, *arguments)
    assert torch.equal(chunk, before) and gradient.dtype == dtype and losses.dtype == torch.float32
    assert not losses.requires_grad and not gradient.requires_grad
    exact = twin(chunk)
    expected = reference(exact)
    expected.sum().backward()
    check_close(losses, expected, torch.float32, what="losses")
    check_close(gradient, exact.grad, dtype, what="gradient", roundings=1)


def log_probabilities(device, dtype, grad=True):
    chunk = random(ROWS, CLASSES, device=device, scale=2).detach().log_softmax(-1).to(dtype)
    return chunk.requires_grad_(grad)


@pytest.mark.parametrize("has_labels", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_jsd(device, dtype, beta, has_labels):
    student, teacher = log_probabilities(device, dtype), log_probabilities(device, dtype, grad=False)
    counted = (IS_COUNTED if has_labels else torch.ones(ROWS, dtype=torch.bool)).to(device)

    def reference(log_q):
        log_p = teacher.double()
        p, q = log_p.exp(), log_q.exp()
        if beta == 0:
            losses = p * (log_p - log_q)
        elif beta == 1:
            losses = q * (log_q - log_p)
        else:
            log_m = (beta * p + (1 - beta) * q).log()
            losses = beta * p * (log_p - log_m) + (1 - beta) * q * (log_q - log_m)
        return torch.where(counted[:, None], losses, 0) / COUNTED

    labels = LABELS.to(device) if has_labels else None
    check("jsd_loss_and_grad", student, (teacher, labels, beta, -100, float(COUNTED)), reference, dtype)


@pytest.mark.parametrize("has_labels", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_kl(device, dtype, temperature, has_labels):
    logits = random(ROWS, CLASSES, device=device, dtype=dtype, scale=3)
    target = random(ROWS, CLASSES, device=device, grad=False).softmax(-1).to(dtype)
    target[:, ::5] = 0
    labels = LABELS.to(device) if has_labels else None

    def reference(x):
        q = target.double()
        losses = (q * (q.clamp_min(1e-10).log() - (x / temperature).log_softmax(-1))).sum(-1) * 0.3
        return losses if labels is None else torch.where(labels != -100, losses, 0)

    check("kl_loss_and_grad", logits, (target, labels, -100, temperature, 1e-10, 0.3), reference, dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("has_weight", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(device, dtype, smoothing, has_weight, reduction):
    logits = random(ROWS, CLASSES, device=device, dtype=dtype, scale=3)
    weight = torch.rand(CLASSES, device=device) + 0.5 if has_weight else None
    labels, z, softcap, of_weights = LABELS.to(device), 0.01, 20.0, 9.5
    divisors = (of_weights if has_weight else COUNTED, COUNTED) if reduction == "mean" else (1, 1)

    def reference(x):
        x = (x / softcap).tanh() * softcap
        doubled = None if weight is None else weight.double()
        entropy = F.cross_entropy(x, labels, doubled, reduction="none", label_smoothing=smoothing)
        z_losses = torch.where(labels != -100, z * x.logsumexp(-1) ** 2, 0)
        return entropy / divisors[0] + z_losses / divisors[1]

    options = weight, -100, z, smoothing, reduction, softcap, COUNTED, of_weights, CLASSES, True, True, True
    check("cross_entropy_loss_and_grad", logits, (labels, *options, True), reference, dtype)
    _, z_losses, accuracy, predicted, same = dispatch("cross_entropy_loss_and_grad", logits, labels, *options, False)
    exact = (logits.detach().double() / softcap).tanh() * softcap
    counted = labels != -100
    expected = torch.where(counted, z * exact.logsumexp(-1) ** 2 / divisors[1], 0)
    check_close(z_losses, expected, torch.float32, what="z-loss")
    assert same is logits and torch.equal(predicted, torch.where(counted, exact.argmax(-1), -1))
    assert torch.equal(accuracy, ((exact.argmax(-1) == labels) & counted).float())


@pytest.mark.parametrize("name", ["jsd_loss_and_grad", "kl_loss_and_grad", "cross_entropy_loss_and_grad"])
def test_rows_that_do_not_count_and_none_that_does(device, name):
    labels = LABELS.to(device)

    def run(chunk, labels, counted):
        target = torch.full_like(chunk, -3.0).requires_grad_(False)
        arguments = {
            "jsd_loss_and_grad": (target, labels, 0.5, -100, counted),
            "kl_loss_and_grad": (target.exp(), labels, -100, 1.0, 1e-10, 1 / max(counted, 1)),
            "cross_entropy_loss_and_grad": (
                labels, None, -100, 0.1, 0.0, "mean", None, counted, 0.0, 0.0, False, False, False, True,
            ),
        }  # fmt: skip
        losses, *_, gradient = dispatch(name, chunk, *arguments[name])
        return losses, gradient

    chunk = log_probabilities(device, torch.float32)
    expected = run(chunk, labels, 4)
    poisoned = chunk.detach().clone()
    poisoned[~IS_COUNTED.to(device)] = torch.nan
    for found, wanted in zip(run(poisoned, labels, 4), expected, strict=True):
        assert torch.equal(found, wanted) and wanted.any()
    for found in run(poisoned * torch.nan, torch.full_like(labels, -100), 0):
        assert not found.any()


X, Y = torch.randn(ROWS, 8).log_softmax(-1), torch.randn(ROWS, 8).softmax(-1)
TARGET = LABELS.clamp(max=7)
ENTROPY = TARGET, None, -100, 0.1, 0.0, "mean", None, 4, 0.0, 0.0
CASES = {
    "jsd_loss_and_grad": (Y.log(), TARGET, 0.5, -100, 4.0),
    "kl_loss_and_grad": (Y, TARGET, -100, 1.7, 1e-10, 0.25),
    "cross_entropy_loss_and_grad": (*ENTROPY, True, True, True, True),
    "jsd": (Y.log(),), "kl_div": (Y,), "softmax": (), "cross_entropy": (TARGET,), "rms_norm": (torch.ones(8),),
    "layer_norm": (torch.ones(8), torch.zeros(8)), "swiglu": (Y,), "geglu": (Y,),
    "fused_add_rms_norm": (Y, torch.ones(8)),
    "rope": (X[None, None], *(torch.ones(1, ROWS, 8),) * 2),
    "fused_linear_jsd": (torch.randn(5, 8), Y, torch.randn(5, 8)),
    "fused_linear_cross_entropy": (torch.randn(9, 8), TARGET),
}  # fmt: skip


def test_cases_are_of_every_operation():
    ours = {name for name, impl in list(registry._REGISTRY) if impl == "swift"}
    assert ours == set(CASES)
    assert all(all_impls(name) == ["swift"] for name in ours)


@pytest.mark.parametrize("name", CASES)
def test_fullgraph(name):
    """The choice of an implementation breaks no graph; a linear layer's divergence runs outside of it anyway."""
    first = X[None, None] if name == "rope" else X

    def run(x):
        return dispatch(name, x, *CASES[name], impl="nvidia-triton", mode="default")

    torch._dynamo.reset()
    eager, compiled = run(first), torch.compile(run, fullgraph=name != "fused_linear_jsd", backend="aot_eager")(first)
    eager, compiled = (r if isinstance(r, tuple) else (r,) for r in (eager, compiled))
    for a, b in zip(eager, compiled, strict=True):
        assert (a is None and b is None) or torch.allclose(a, b, rtol=1e-6, atol=1e-7)


def test_functions_compile_too():
    def run(x):
        return functional.jsd(x, Y.log(), mode="default").sum() + functional.softmax(x, backend="swift").sum()

    torch._dynamo.reset()
    assert torch.compile(run, fullgraph=True, backend="aot_eager")(X).item() == pytest.approx(run(X).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["jsd_loss_and_grad", "rms_norm"])
def test_modes(name):
    with pytest.raises(ValueError, match=f"{name}: there is no mode 'fast'; leave it out or give one of 'default'"):
        dispatch(name, X, *CASES[name], mode="fast")
