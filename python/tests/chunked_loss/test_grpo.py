"""GRPO and its relatives against their formulas in float64, which are those that TRL has since August 2026."""

import math

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from sequences import Layer

from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss
from liger_kernel.chunked_loss.functional import liger_fused_linear_grpo
from liger_kernel.chunked_loss.grpo_loss import LOSS_TYPES

CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")


def vespo_factor(A, difference, mask, ratio):
    total = (difference.clamp(-20, 20) * mask).sum(-1, keepdim=True)
    if ratio is not None:
        # TRL makes ratios of the tokens that count, and others 1.
        ratio = torch.where(mask > 0, ratio, 1) if ratio.shape == mask.shape else ratio
        total = total + ratio.log().clamp(math.log(1e-8), 20).sum(-1, keepdim=True)
    log_w = total.clamp(math.log(1e-8), 20)
    power, rate = torch.where(A >= 0, 2.0, 3.0), torch.where(A >= 0, 3.0, 2.0)
    return (rate + power * log_w - rate * log_w.exp()).exp().detach()


def of_tokens(logits, batch, kind, beta, temperature, level="token", delta=None, corrects=False, ratio=None):
    """The loss, the divergence and whether the ratio was cut, of each token."""
    ids, mask, A, old, reference = batch
    low, high = 0.8, 1.2
    lp = (logits / temperature).log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1)
    mask, A = mask.double(), A.double() if A.dim() == 2 else A.double()[:, None]
    n = mask.sum(-1, keepdim=True).clamp_min(1)
    difference = lp - (lp.detach() if old is None else old.double())
    rho = difference.exp()
    if level == "sequence":
        rho = ((difference * mask).sum(-1, keepdim=True) / n).exp().expand_as(lp)
    clipped = torch.zeros_like(lp)
    if kind in CLIPPED:
        bounded = rho if delta is None else rho.clamp_max(delta)
        f = -torch.minimum(bounded * A, rho.clamp(low, high) * A)
        clipped = (((rho < low) & (A < 0)) | ((rho > high) & (A > 0))).double()
    elif kind == "cispo":
        f = -rho.clamp_max(0.2).detach() * A * lp
        clipped = ((rho > 0.2) & (A > 0)).double()
    elif kind == "sapo":
        tau = torch.where(A > 0, 1.0, 1.05)
        f = -A * 4 * torch.sigmoid(tau * (rho - 1)) / tau
    else:
        f = -vespo_factor(A, difference, mask, ratio) * A * lp
    if ratio is not None and kind != "vespo":
        f = f * ratio
    k = torch.zeros_like(lp)
    if beta:
        gap = (lp.detach() if reference is None else reference.double()) - lp
        k = gap.exp() - gap - 1
        k = k * rho if corrects else k
        f = f + beta * k
    return f, k, clipped


def expected(logits, batch, kind, beta, temperature=1.0, items=None, **options):
    """The whole loss, and the means of the divergence and of what was cut."""
    f, k, clipped = of_tokens(logits, batch, kind, beta, temperature, **options)
    mask, T = batch[1].double(), batch[1].shape[1]
    n, total = mask.sum(-1, keepdim=True).clamp_min(1), mask.sum().clamp_min(1)
    if kind in ("grpo", "sapo"):
        loss = ((f * mask).sum(-1, keepdim=True) / n).mean()
    elif kind == "bnpo":
        loss = (f * mask).sum() / total
    elif kind == "dr_grpo":
        loss = (f * mask).sum() / (mask.shape[0] * (T + 3))
    elif kind == "luspo":
        loss = (f * mask).sum(-1).mean()
    else:
        loss = (f * mask).sum() / (total if items is None else max(1, items))
    metrics = [((x * mask).sum() / total).detach() for x in ([k] if beta else []) + [clipped]]
    return loss, metrics


def make(device, dtype=torch.float32, shape=(4, 5, 16, 61), has_bias=True):
    count, length, hidden, classes = shape
    layer = Layer(count, length, hidden, classes, dtype, device, has_bias, scale=0.3)
    ids = torch.randint(classes, (count, length), device=device)
    mask = (torch.rand(count, length, device=device) < 0.8).long()
    mask[:, 0] = 1
    A = torch.randn(count, device=device)
    A[::2] = A[::2].abs()
    lp = layer.logits().log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1).detach()
    old, reference = ((lp + 0.4 * torch.randn_like(lp)).float() for _ in range(2))
    return layer, (ids, mask, A, old, reference)


def check(layer, batch, kind, dtype, beta=0.1, ratio=None, items=None, temperature=1.0, **options):
    ids, mask, A, old, reference = batch
    loss = LigerFusedLinearGRPOLoss(
        beta=beta, loss_type=kind, use_ref_model=reference is not None, temperature=temperature,
        max_completion_length=mask.shape[1] + 3, importance_sampling_level=options.get("level", "token"),
        delta=options.get("delta"), use_bias_correction_kl=options.get("corrects", False),
    )  # fmt: skip
    found, metrics = loss(
        _input=layer.input, lin_weight=layer.weight, selected_token_ids=ids, attention_mask=mask, advantages=A,
        bias=layer.bias, old_per_token_logps=old, ref_per_token_logps=reference, vllm_is_ratio=ratio,
        num_items_in_batch=items,
    )  # fmt: skip
    wanted, parts = expected(
        layer.logits(), batch, kind, beta, temperature, items=items,
        ratio=None if ratio is None else ratio.double().reshape(len(A), -1), **options,
    )  # fmt: skip
    assert found.dtype == torch.float32
    assert abs(found.item() - wanted.item()) <= 1e-5 * max(1.0, abs(wanted.item()))
    for a, b in zip(metrics, parts, strict=True):
        assert a.dtype == torch.float32 and not a.requires_grad
        assert abs(a.item() - b.item()) <= 1e-5
    found.backward()
    wanted.backward()
    layer.check_gradients(dtype)


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("has_old", [False, True])
def test_types(device, dtype, kind, beta, has_old):
    layer, (ids, mask, A, old, reference) = make(device, dtype)
    batch = (ids, mask, A, old if has_old else None, reference if beta else None)
    check(layer, batch, kind, dtype, beta, temperature=1.3)


@pytest.mark.parametrize("kind", CLIPPED)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("delta", [None, 1.3])
@pytest.mark.parametrize("corrects", [False, True])
def test_clipped_options(device, kind, level, delta, corrects):
    layer, batch = make(device, has_bias=False)
    check(layer, batch, kind, torch.float32, level=level, delta=delta, corrects=corrects)


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("form", [(4,), (4, 1), (4, 5)])
def test_sampler_ratio(device, kind, form):
    layer, batch = make(device)
    check(layer, batch, kind, torch.float32, ratio=0.5 + torch.rand(form, device=device))


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("ratio", [False, True])
def test_advantages_of_tokens(device, kind, ratio):
    layer, (ids, mask, A, old, reference) = make(device)
    A = torch.randn(mask.shape, device=device)
    check(layer, (ids, mask, A, old, reference), kind, torch.float32, ratio=torch.rand_like(A) + 0.5 if ratio else None)


@pytest.mark.parametrize("kind", ["cispo", "sapo", "vespo"])
def test_losses_without_clipping_do_not_read_delta(device, kind):
    layer, batch = make(device)
    check(layer, batch, kind, torch.float32, delta=1e-3)


PADDING = [
    {}, {"level": "sequence"}, {"corrects": True}, {"level": "sequence", "corrects": True}, {"delta": 1.3},
    {"has_old": False}, {"ratio": (4, 5)}, {"ratio": (4, 1)}, {"advantages": True},
]  # fmt: skip


def padding_case(device, anything, has_old=True, ratio=None, advantages=False, level="token", **options):
    """A layer, a batch, the same with tokens behind the answers, and a loss's options."""
    layer, (ids, mask, A, old, reference) = make(device)
    mask[1, 2] = 0
    A = torch.randn(mask.shape, device=device) if advantages else A
    batch = {
        "selected_token_ids": ids, "attention_mask": mask, "advantages": A, "ref_per_token_logps": reference,
        "old_per_token_logps": old if has_old else None,
        "vllm_is_ratio": None if ratio is None else torch.rand(ratio, device=device) + 0.5,
    }  # fmt: skip
    longer = dict(batch)
    for name, tensor in batch.items():
        if tensor is not None and tensor.shape == mask.shape:
            longer[name] = F.pad(tensor, (0, 3))
            if tensor is not mask:
                value = anything if tensor.is_floating_point() else -7
                longer[name].masked_fill_(F.pad(mask, (0, 3)) == 0, value)
    names = {"corrects": "use_bias_correction_kl"}
    given = {names.get(name, name): value for name, value in options.items()} | {"importance_sampling_level": level}
    return layer, batch, longer, given


def is_refused(kind, options):
    """Whether a loss has no ratios of sequences."""
    return kind not in CLIPPED and options.get("level") == "sequence"


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("options", PADDING, ids=str)
@pytest.mark.parametrize("anything", [math.nan, math.inf, -math.inf, 0.0])
def test_padding_changes_nothing(device, kind, options, anything):
    """Tokens behind the answers, and what is said of any token that does not count."""
    if is_refused(kind, options):
        return
    layer, batch, longer, given = padding_case(device, anything, **options)
    loss = LigerFusedLinearGRPOLoss(beta=0.1, loss_type=kind, max_completion_length=9, **given)
    results = []
    for samples, more in ((batch, 0), (longer, 3)):
        x = F.pad(layer.input.detach(), (0, 0, 0, more), value=3.0).requires_grad_()
        weight = layer.weight.detach().requires_grad_()
        found, metrics = loss(x, weight, bias=layer.bias, **samples)
        found.backward()
        assert bool((x.grad[:, 5:] == 0).all())
        results.append((found, *metrics, x.grad[:, :5], weight.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["dapo", "cispo", "vespo"])
@pytest.mark.parametrize("items", [0, 7, 40])
def test_items_in_batch(device, kind, items):
    layer, batch = make(device)
    check(layer, batch, kind, torch.float32, items=items)


@pytest.mark.parametrize("shape", [(1, 1, 3, 5), (1, 7, 33, 61), (3, 2, 8, 131)])
def test_shapes_and_masks(device, shape):
    layer, (ids, mask, A, old, reference) = make(device, shape=shape)
    mask[0] = 0
    check(layer, (ids, mask.bool(), A, old, reference), "dapo", torch.float32)


def test_reference_layer(device):
    """A reference model's layer gives what its log-probabilities do."""
    layer, (ids, mask, A, old, _) = make(device)
    other = Layer(4, 5, 10, 61, torch.float32, device, scale=0.3, grad=False)
    logps = other.logits().log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1).float()
    loss = LigerFusedLinearGRPOLoss(loss_type="grpo", beta=0.2)
    args, its_own = (layer.input, layer.weight, ids, mask, A, layer.bias), other.tensors
    reference = dict(zip(("ref_input", "ref_weight", "ref_bias"), its_own, strict=True))
    a, (kl, _) = loss(*args, old_per_token_logps=old, **reference)
    b, (kl_too, _) = loss(*args, ref_per_token_logps=logps, old_per_token_logps=old)
    check_close(a, b, torch.float32)
    check_close(kl, kl_too, torch.float32)
    with pytest.warns(UserWarning, match="Using ref_per_token_logps"):
        both = loss(
            *args, ref_per_token_logps=logps, old_per_token_logps=old, ref_input=other.input, ref_weight=other.weight
        )[0]
    assert torch.equal(both, b)


@pytest.mark.parametrize("kind", LOSS_TYPES)
def test_extreme_ratios(device, kind):
    layer, (ids, mask, A, old, reference) = make(device)
    loss = LigerFusedLinearGRPOLoss(loss_type=kind, max_completion_length=8)
    found, metrics = loss(
        layer.input, layer.weight, ids, mask, A.abs(), layer.bias, reference + 30, old_per_token_logps=old + 60
    )
    found.backward()
    assert bool(found.isfinite()) and all(bool(m.isfinite()) for m in metrics)
    assert all(bool(t.grad.isfinite().all()) for t in layer.tensors)


def test_orders_and_refusals(device):
    layer, (ids, mask, A, old, reference) = make(device)
    args = (layer.input, layer.weight, ids, mask, A, layer.bias)
    found = liger_fused_linear_grpo(*args, reference, old, None, None, None, 0.07, 0.1, 0.3, "grpo")
    module = LigerFusedLinearGRPOLoss(beta=0.07, epsilon_low=0.1, epsilon_high=0.3, loss_type="grpo")
    assert torch.equal(found[0], module(*args, reference, old)[0])
    for options in (
        {"loss_type": "sapo", "sapo_temperature_pos": 0.0}, {"loss_type": "sapo", "sapo_temperature_neg": -1.0},
        {"delta": 0.0},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            LigerFusedLinearGRPOLoss(**options)
    # Other losses do not read them.
    unread = LigerFusedLinearGRPOLoss(loss_type="grpo", sapo_temperature_pos=0.0, sapo_temperature_neg=0.0)
    read = LigerFusedLinearGRPOLoss(loss_type="grpo")
    assert torch.equal(unread(*args, reference, old)[0], read(*args, reference, old)[0])
    for options in (
        {"loss_type": "ppo"}, {"importance_sampling_level": "word"}, {"chunk_size": 0},
        {"loss_type": "cispo", "importance_sampling_level": "sequence"},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            LigerFusedLinearGRPOLoss(**options)(*args, reference)
    with pytest.raises(AssertionError):
        LigerFusedLinearGRPOLoss(loss_type="dr_grpo")(*args, reference)
    with pytest.raises(AssertionError):
        LigerFusedLinearGRPOLoss()(*args)
    with pytest.raises(ValueError):
        LigerFusedLinearGRPOLoss()(*args, reference, vllm_is_ratio=torch.ones(3, device=device))
    for wrong in (A[:, None], A[None], A[:3], A[0]):
        with pytest.raises(ValueError, match=r"advantages must have shape \(B,\) or \(B, T\)"):
            LigerFusedLinearGRPOLoss()(*args[:4], wrong, layer.bias, reference)
    # Without a reference model its log-probabilities are not read.
    plain = LigerFusedLinearGRPOLoss(use_ref_model=False)
    assert torch.equal(plain(*args, reference)[0], plain(*args)[0])
