"""KTO against its formula in float64."""

import pytest
import torch

from conftest import check_close
from sequences import IGNORED
from sequences import Layer
from sequences import answers
from sequences import check_results
from sequences import targets

from liger_kernel.chunked_loss import LigerFusedLinearKTOLoss
from liger_kernel.chunked_loss.functional import liger_fused_linear_kto


def expected(layer, labels, good, beta, average, reference=None, kl=0.0):
    logits = layer.logits()
    own = answers(logits, labels, average)
    ratio = own if reference is None else own - answers(
        reference.logits(rounded=not layer.is_exact), labels, average
    )
    sign = torch.where(good, 1.0, -1.0).double()
    loss = (1 - torch.sigmoid(beta * (ratio - kl) * sign)).mean()
    parts = [own, logits.sum((1, 2)), beta * ratio]
    return loss, [x for part in parts for x in (part[good].sum().detach(), part[~good].sum().detach())]


@pytest.mark.parametrize("shape", [(1, 1, 3, 5), (3, 7, 33, 61), (4, 5, 8, 131)])
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize("kl", [None, 0.3])
def test_kto(device, dtype, shape, average, has_reference, kl):
    count, length, hidden, classes = shape
    layer = Layer(count, length, hidden, classes, dtype, device, has_bias=average, scale=0.3)
    other = Layer(count, length, hidden + 2, classes, dtype, device, has_bias=average, scale=0.3, grad=False)
    labels, good = targets(count, length, classes, device), torch.arange(count, device=device) % 2 == 0
    loss = LigerFusedLinearKTOLoss(beta=0.2, use_ref_model=has_reference, average_log_prob=average)
    found, results = loss(
        _input=layer.input, lin_weight=layer.weight, target=labels, bias=layer.bias, preference_labels=good,
        ref_input=other.input, ref_weight=other.weight, ref_bias=other.bias,
        kl=None if kl is None else torch.tensor([kl], device=device),
    )  # fmt: skip
    wanted, parts = expected(layer, labels, good, 0.2, average, other if has_reference else None, kl or 0.0)
    assert found.dtype == torch.float32
    check_close(found, wanted, torch.float32, what="loss")
    # Sums of logits of both signs cancel: their error is one of what is summed.
    scale = layer.kept.detach().abs().sum().item()
    for i, (a, b) in enumerate(zip(results, parts, strict=True)):
        assert a.dtype == torch.float32 and not a.requires_grad
        bound = 1e-6 * (scale if i in (2, 3) else max(1.0, abs(b.item())) * length)
        assert abs(a.item() - b.item()) <= bound, f"result {i}"
    (3 * found).backward()
    (3 * wanted).backward()
    layer.check_gradients(dtype, upstream=3)


def test_extreme_and_ignored(device):
    layer = Layer(3, 4, 8, 17, torch.float32, device, scale=60.0)
    good = torch.tensor([True, False, True], device=device)
    labels = targets(3, 4, 17, device)
    loss = LigerFusedLinearKTOLoss(beta=0.5)
    found = loss(layer.input, layer.weight, labels, layer.bias, good)[0]
    found.backward()
    check_close(found, expected(layer, labels, good, 0.5, False)[0], torch.float32, what="loss")
    assert all(bool(t.grad.isfinite().all()) for t in layer.tensors)
    nothing = torch.full_like(labels, IGNORED)
    for t in layer.tensors:
        t.grad = None
    found, results = loss(layer.input, layer.weight, nothing, layer.bias, good)
    found.backward()
    assert found.item() == 0 and all(bool((t.grad == 0).all()) for t in layer.tensors)
    check_results(results[:2], (0.0, 0.0))


def test_orders_and_refusals(device):
    layer = Layer(2, 3, 8, 17, torch.float32, device)
    labels, good = targets(2, 3, 17, device), torch.tensor([True, False], device=device)
    module = LigerFusedLinearKTOLoss()(layer.input, layer.weight, labels, layer.bias, good)
    options = (None, None, None, None, -100, 0.1, False, False)
    found = liger_fused_linear_kto(layer.input, layer.weight, labels, good, layer.bias, *options)
    assert torch.equal(found[0], module[0])
    # The library multiplies longer chunks another way on a GPU.
    longer = LigerFusedLinearKTOLoss(chunk_size=2)(layer.input, layer.weight, labels, layer.bias, good)
    torch.testing.assert_close(longer[0], module[0], rtol=1e-6, atol=0)
    with pytest.raises(AssertionError):
        LigerFusedLinearKTOLoss()(layer.input, layer.weight, labels, layer.bias)
    with pytest.raises(ValueError):
        LigerFusedLinearKTOLoss(use_ref_model=True)(layer.input, layer.weight, labels, layer.bias, good)
    with pytest.raises(ValueError):
        LigerFusedLinearKTOLoss()(layer.input, layer.weight, labels, layer.bias, good[:1])
