"""fp16 gradients that come with a loss of logits or of probabilities, under a loss scale, against float64.

The mean over many rows that are nearly certain is below fp16 for an upstream gradient of 1. Losses in fp16 cannot have
an upstream gradient beyond it.
"""

import pytest
import torch
import torch.nn.functional as F

from test_divergences import jsd

from liger_kernel.transformers import functional

ROWS, CLASSES = 8192, 32
SCALES = [1.0, 2.0**15, 2.0**24]
DIVISORS = {"mean": ROWS * CLASSES, "batchmean": ROWS}


def rows(device, logarithms):
    """Two distributions a row, each nearly certain of one class and mostly of the same one."""
    x = 2 * torch.randn(2, ROWS, CLASSES)
    classes = torch.randint(CLASSES, (ROWS,))
    x[:, torch.arange(ROWS), classes] = 10.0
    x = x.log_softmax(-1)
    x, teacher = (x if logarithms else x.exp()).to(device, torch.float16)
    return x.requires_grad_(), teacher, classes.to(device)


def check(ours, reference, x, scale, upstream=None):
    copy = x.detach().double().requires_grad_()
    found, wanted = ours(x), reference(copy)
    if found.dtype == torch.float16 and scale > 2**15:
        pytest.skip("a loss in fp16")
    factor = torch.tensor(scale, device=x.device) if upstream is None else scale * upstream
    found.backward(factor.to(found.dtype))
    wanted.backward(factor.to(found.dtype).double())
    a, b = x.grad.double(), copy.grad
    bound = b.norm(dim=-1, keepdim=True) * 2**-9 + 2**-24 * CLASSES**0.5
    beyond, held = b.abs() > 65520 + bound, b.abs() < 65504 - bound
    assert x.grad.dtype == torch.float16 and torch.equal(a[beyond], b[beyond].sign() * torch.inf)
    worst = (torch.where(held, a - b, 0).norm(dim=-1, keepdim=True) / bound).max().item()
    assert worst <= 1, f"a row is {worst:.2g} times the bound off"


def per_row(device):
    return (torch.arange(ROWS, device=device) % 7 - 3) / ROWS


def per_entry(device):
    return per_row(device)[:, None].repeat(1, CLASSES)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy(device, reduction, smoothing, scale):
    x, _, labels = rows(device, True)
    options = {"reduction": reduction, "label_smoothing": smoothing}

    def ours(x):
        return functional.liger_cross_entropy(x, labels, **options)

    check(
        ours, lambda x: F.cross_entropy(x, labels, **options), x, scale,
        per_row(device) if reduction == "none" else None,
    )  # fmt: skip


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("softcap", [None, 16.0])
def test_weighted_cross_entropy(device, softcap, scale):
    x, _, labels = rows(device, True)
    weight = 0.25 + 100.0 * (torch.arange(CLASSES, device=device) % 5)

    def reference(x):
        x = x if softcap is None else softcap * torch.tanh(x / softcap)
        return F.cross_entropy(x, labels, weight.double()) + 1e-4 * x.logsumexp(-1).square().mean()

    def ours(x):
        return functional.liger_cross_entropy(x, labels, weight, lse_square_scale=1e-4, softcap=softcap)

    check(ours, reference, x, scale)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl(device, reduction, log_target, scale):
    x, _, _ = rows(device, True)
    _, teacher, _ = rows(device, log_target)

    def reference(x):
        entries = F.kl_div(x, teacher.double(), reduction="none", log_target=log_target)
        return entries if reduction == "none" else entries.sum() / DIVISORS.get(reduction, 1)

    def ours(x):
        return functional.liger_kl_div(x, teacher, reduction=reduction, log_target=log_target)

    check(ours, reference, x, scale, per_entry(device) if reduction == "none" else None)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_jsd(device, beta, scale):
    x, teacher, _ = rows(device, True)
    check(
        lambda x: functional.liger_jsd(x, teacher, beta=beta),
        lambda x: jsd(x, teacher.double(), None, beta), x, scale,
    )  # fmt: skip


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
def test_tvd(device, reduction, scale):
    x, teacher, _ = rows(device, False)

    def reference(x):
        entries = 0.5 * (x - teacher.double()).abs()
        return entries if reduction == "none" else entries.sum() / DIVISORS.get(reduction, 1)

    def ours(x):
        return functional.liger_tvd(x, teacher, reduction=reduction)

    check(ours, reference, x, scale, per_entry(device) if reduction == "none" else None)
