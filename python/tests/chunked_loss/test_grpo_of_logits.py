"""GRPO of logits at hand, under the name that trainers know, against its formulas in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from test_grpo import CLIPPED
from test_grpo import PADDING
from test_grpo import expected
from test_grpo import is_refused
from test_grpo import of_tokens
from test_grpo import padding_case

from liger_kernel.chunked_loss.grpo_loss import LOSS_TYPES
from liger_kernel.transformers.grpo_loss import _reduce_grpo_loss
from liger_kernel.transformers.grpo_loss import fused_selective_log_softmax
from liger_kernel.transformers.grpo_loss import triton_grpo_loss

COUNT, LENGTH, CLASSES = 4, 5, 61
OPTIONS = [{}, {"level": "sequence"}, {"delta": 1.3}, {"corrects": True}, {"items": 7}]
# The losses that divide by the tokens of a batch.
ITEMS = {kind: {"items"} for kind in ("dapo", "cispo", "vespo")}


def make(device, dtype=torch.float32):
    logits = torch.randn(COUNT, LENGTH + 1, CLASSES, device=device).to(dtype).requires_grad_()
    ids = torch.randint(CLASSES, (COUNT, LENGTH), device=device)
    mask = (torch.rand(COUNT, LENGTH, device=device) < 0.8).long()
    mask[:, 0] = 1
    A = torch.randn(COUNT, device=device)
    twin = logits.detach().double().requires_grad_()
    lp = twin[:, :-1].log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1).detach()
    old, reference = ((lp + 0.4 * torch.randn_like(lp)).float() for _ in range(2))
    return logits, twin, (ids, mask, A, old, reference)


def run(logits, batch, kind, beta, **options):
    ids, mask, A, old, reference = batch
    bounds = {"eps_low": 0.2, "eps_high": 0.2, "temperature": 1.3, "beta": beta, "loss_type": kind}
    return triton_grpo_loss(logits, old, reference, ids, A, mask, **{**bounds, **options})


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_of_each_token(device, dtype, kind, beta):
    logits, twin, batch = make(device, dtype)
    before, mask = logits.detach().clone(), batch[1]
    found = run(logits, batch, kind, beta)
    wanted = [w * mask for w in of_tokens(twin[:, :-1], batch, kind, beta, 1.3)]
    for a, b in zip(found, wanted):
        if a is not None:
            assert a.dtype == torch.float32
            check_close(a, b, torch.float32)
    assert (found[1] is None) == (beta == 0)
    upstream = torch.randn(COUNT, LENGTH, device=device)
    for _ in range(2):
        logits.grad = None
        found[0].backward(upstream, retain_graph=True)
    wanted[0].backward(upstream.double())
    assert torch.equal(logits.detach(), before) and logits.grad.dtype == dtype
    assert bool((logits.grad[:, -1] == 0).all())
    check_close(logits.grad, twin.grad, dtype, roundings=2.5)


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_reduced(device, kind, options):
    if not set(options) <= {"corrects", *({"level", "delta"} if kind in CLIPPED else ())} | ITEMS.get(kind, set()):
        return
    logits, twin, batch = make(device)
    names = {"level": "importance_sampling_level", "corrects": "use_bias_correction_kl", "items": "num_items_in_batch"}
    given = {names.get(name, name): value for name, value in options.items()}
    longest = {"max_completion_length": LENGTH + 3} if kind == "dr_grpo" else {}
    found, metrics = run(logits, batch, kind, 0.1, reduce=True, **given, **longest)
    wanted, parts = expected(twin[:, :-1], batch, kind, 0.1, 1.3, **options)
    check_close(found, wanted, torch.float32)
    for a, b in zip(metrics, parts, strict=True):
        assert abs(a.item() - b.item()) <= 1e-5
    (2 * found).backward()
    (2 * wanted).backward()
    check_close(logits.grad, twin.grad, torch.float32)


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("masked", [False, True])
def test_reduction_of_tokens(device, kind, masked):
    """The losses of tokens, put together by the caller, are the loss."""
    logits, _, (ids, mask, A, old, reference) = make(device)
    mask = mask if masked else torch.ones_like(mask)
    batch = (ids, mask, A, old, reference)
    whole = run(logits, batch, kind, 0.1, reduce=True)[0]
    tokens = run(logits, batch, kind, 0.1)[0]
    check_close(_reduce_grpo_loss(tokens, mask if masked else None, kind, None), whole.double(), torch.float32)
    with pytest.raises(ValueError, match="loss_type"):
        _reduce_grpo_loss(tokens, mask, "ppo", None)


@pytest.mark.parametrize("form", [(COUNT,), (COUNT, 1), (COUNT, LENGTH)])
def test_sampler_ratio(device, form):
    logits, twin, batch = make(device)
    ratio = 0.5 + torch.rand(form, device=device)
    found = run(logits, batch, "dapo", 0.1, vllm_is_ratio=ratio)[0]
    spread = ratio.double().reshape(COUNT, -1)
    check_close(found, of_tokens(twin[:, :-1], batch, "dapo", 0.1, 1.3, ratio=spread)[0] * batch[1], torch.float32)


@pytest.mark.parametrize("kind", LOSS_TYPES)
def test_advantages_of_tokens(device, kind):
    logits, twin, (ids, mask, _, old, reference) = make(device)
    batch = (ids, mask, torch.randn(mask.shape, device=device), old, reference)
    found = run(logits, batch, kind, 0.1)[0]
    check_close(found, of_tokens(twin[:, :-1], batch, kind, 0.1, 1.3)[0] * mask, torch.float32)


@pytest.mark.parametrize("kind", LOSS_TYPES)
@pytest.mark.parametrize("options", PADDING, ids=str)
@pytest.mark.parametrize("anything", [math.nan, math.inf, -math.inf, 0.0])
@pytest.mark.parametrize("reduce", [False, True])
def test_padding_changes_nothing(device, kind, options, anything, reduce):
    """Tokens behind the answers, and what is said of any token that does not count, its logits too."""
    if is_refused(kind, options) or (kind not in CLIPPED and "delta" in options):
        return
    layer, batch, longer, given = padding_case(device, anything, **options)
    results = []
    for samples, more in ((batch, 0), (longer, 3)):
        mask = samples["attention_mask"]
        logits = F.pad(layer.logits().detach().float(), (0, 0, 0, more + 1))
        if more:
            logits = logits.masked_fill(F.pad(mask, (0, 1))[..., None] == 0, anything)
        logits.requires_grad_()
        found, *metrics = triton_grpo_loss(
            logits, samples["old_per_token_logps"], samples["ref_per_token_logps"], samples["selected_token_ids"],
            samples["advantages"], mask, beta=0.1, loss_type=kind, max_completion_length=9, reduce=reduce,
            vllm_is_ratio=samples["vllm_is_ratio"], **given,
        )  # fmt: skip
        found.sum().backward()
        metrics = metrics[0] if reduce else [tensor[:, :5] for tensor in metrics]
        assert bool((logits.grad[:, 5:] == 0).all())
        results.append((found if reduce else found[:, :5], *metrics, logits.grad[:, :5]))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_selective_log_softmax(device, dtype, masked):
    logits, twin, (ids, mask, *_) = make(device, dtype)
    prompt = torch.randint(CLASSES, (COUNT, 3), device=device)
    # Rows of another stride, as a slice of what was generated has.
    whole = torch.cat([prompt, ids], dim=1)
    lse = torch.full_like(mask, 7, dtype=torch.float32)
    found = fused_selective_log_softmax(logits, whole, 0.7, mask if masked else None, lse=lse)
    sums = (twin[:, :-1] / 0.7).logsumexp(-1)
    check_close(lse, torch.where(mask != 0, sums, 7) if masked else sums, torch.float32)
    # Of a mask that counts the prompt's tokens, too, the last columns are the completion's.
    long_mask = torch.cat([torch.zeros_like(mask), mask], dim=1)
    assert torch.equal(found, fused_selective_log_softmax(logits, whole, 0.7, long_mask if masked else None))
    wanted = (twin[:, :-1] / 0.7).log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1)
    assert found.dtype == torch.float32 and not found.requires_grad
    check_close(found, wanted * mask if masked else wanted, torch.float32)


def test_refusals(device):
    logits, _, batch = make(device)
    ids, mask, A, old, _ = batch
    with pytest.raises(AssertionError, match="ref_logp"):
        triton_grpo_loss(logits, old, None, ids, A, mask)
    with pytest.raises(AssertionError, match="importance_sampling_level"):
        run(logits, batch, "dapo", 0.1, importance_sampling_level="word")
    for wrong in (A[:, None], A[None], A[:3]):
        with pytest.raises(ValueError, match=r"advantages must have shape \(B,\)"):
            triton_grpo_loss(logits, old, old, ids, wrong, mask)
    for lse in (old[:1], old.half()):
        with pytest.raises(ValueError, match="lse"):
            fused_selective_log_softmax(logits, ids, lse=lse)
    with pytest.raises(AssertionError, match="vllm_is_ratio"):
        run(logits, batch, "dapo", 0.1, vllm_is_ratio=A[:-1])
    for kind, options in (
        ("ppo", {}), ("cispo", {"importance_sampling_level": "sequence"}), ("sapo", {"delta": 1.5}),
        ("sapo", {"sapo_temperature_neg": 0.0}),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            run(logits, batch, kind, 0.1, **options)
