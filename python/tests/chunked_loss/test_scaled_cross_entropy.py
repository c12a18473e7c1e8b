"""Scaled cross entropy of a linear layer, of one device and of ranks, against its formulas in float64."""

import pytest
import torch
import torch.distributed as dist

from conftest import DTYPES
from conftest import check_close
from processes import on_ranks
from sequences import IGNORED
from sequences import Layer

import liger_kernel

from liger_kernel import ops
from liger_kernel.ops.fused_linear_scaled_cross_entropy import LigerFusedLinearScaledCrossEntropyFunction
from liger_kernel.ops.fused_linear_scaled_cross_entropy import LigerFusedLinearScaledCrossEntropyTPFunction
from liger_kernel.transformers import functional

TOKENS, HIDDEN, CLASSES = 13, 10, 67
# The last class, the first, and one that is selected three times, in rows of another order.
SELECTED = (CLASSES - 1, 2, 0, 2, 3, 2)


def run(x, weight, target, temperature=1.0, entropy=False, ids=None, ignore_index=IGNORED):
    found = LigerFusedLinearScaledCrossEntropyFunction.apply(
        x, weight, target, temperature, ignore_index, 1, entropy, ids
    )
    return found if isinstance(found, tuple) else (found,)


def expected(logits, target, temperature, entropy=False, ids=None, ignore_index=IGNORED):
    logs, counts = (logits / temperature).log_softmax(-1), target != ignore_index
    own = logs.gather(-1, target.masked_fill(~counts, 0)[:, None])[:, 0]
    values = [-own * counts]
    if entropy:
        values.append(-(logs.exp() * logs).sum(-1) * counts)
    if ids is not None:
        values.append(logs[:, ids] * counts[:, None])
    return values


def sample(device, dtype=torch.float32, classes=CLASSES, scale=0.5, seed=3, ignored=3):
    torch.manual_seed(seed)
    layer = Layer(1, TOKENS, HIDDEN, classes, dtype, device, has_bias=False, scale=scale)
    target = torch.randint(classes, (TOKENS,), device=device)
    target[1::ignored] = IGNORED
    return layer, target


def check_values(found, wanted, dtype, terms=None):
    """Entropy, the second of them, may have the input's type; the rest is fp32."""
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        check_close(a, b, torch.float32 if a.dtype == torch.float32 else dtype, what=f"result {i}", terms=terms)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("entropy", [False, True])
@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("classes", [4, CLASSES, 1030])
def test_values_and_gradients(device, dtype, temperature, entropy, selects, classes):
    layer, target = sample(device, dtype, classes)
    ids = torch.tensor(SELECTED, device=device).clamp_max(classes - 1)[::2] if selects else None
    found = run(layer.input[0], layer.weight, target, temperature, entropy, ids)
    wanted = expected(layer.logits(exact=True)[0], target, temperature, entropy, ids)
    assert [a.dtype for a in found] == [torch.float32] + [dtype] * entropy + [torch.float32] * selects
    check_values(found, wanted, dtype)
    assert all(bool((a[target == IGNORED] == 0).all()) for a in found)
    upstream = [torch.randn_like(a) for a in found]
    for _ in range(2):
        torch.autograd.backward(found, upstream, retain_graph=True)
    torch.autograd.backward(wanted, [2 * u.double() for u in upstream])
    # Both passes through the graph are rounded, and so is their sum.
    layer.check_gradients(dtype, upstream=2.0)
    assert bool((layer.input.grad[0][target == IGNORED] == 0).all())


def test_upstreams_numbers(device):
    """From liger-kernel 0.8.5's path in plain torch: 1, 2 and 3 times the sums of what it gives, differentiated."""
    x = (torch.arange(6.0).view(3, 2) * 0.7 - 1).to(device).requires_grad_()
    w = torch.arange(8.0).view(4, 2).sin().to(device).requires_grad_()
    ids = torch.tensor([1, 3, 1], device=device)
    found = run(x, w, torch.tensor([3, IGNORED, 0], device=device), 0.7, True, ids)
    sum((a * (i + 1)).sum() for i, a in enumerate(found)).backward()
    first, second = [-3.23516488, -1.75808930, -3.23516488], [-0.90595478, -2.12026429, -0.90595478]
    for a, b in zip(
        (*found, x.grad, w.grad),
        (
            [1.75808930, 0.0, 0.74289483], [0.93069339, 0.0, 0.97499847], [first, [0.0] * 3, second],
            [[13.95875359, 9.83032799], [0.0, 0.0], [2.59651279, -3.32472110]],
            [[-12.10328293, -17.70579529], [-1.40978408, 7.16771030], [8.85520267, 2.65910339],
             [4.65786219, 7.87897873]],
        ),
    ):  # fmt: skip
        check_close(a, torch.tensor(b), torch.float32)


@pytest.mark.parametrize("output", [0, 1, 2])
@pytest.mark.parametrize("trainable", ["both", "input", "weight"])
def test_one_result_of_what_is_trained(device, output, trainable):
    layer, target = sample(device)
    ids = torch.tensor(SELECTED, device=device)
    x, weight = layer.input[0].detach(), layer.weight.detach()
    x.requires_grad_(trainable != "weight")
    weight.requires_grad_(trainable != "input")
    found = run(x, weight, target, 0.9, True, ids)[output]
    wanted = expected(layer.logits(exact=True)[0], target, 0.9, True, ids)[output]
    found.backward(upstream := torch.randn_like(found))
    wanted.backward(upstream.double())
    for ours, twin in zip((x, weight), layer.twins):
        assert (ours.grad is None) == (not ours.requires_grad)
        if ours.grad is not None:
            check_close(ours.grad, twin.grad.view(ours.shape), torch.float32)


@pytest.mark.parametrize("probability", [0.88, 0.999, 1 - 1e-5])
def test_near_certain_tokens(device, probability):
    """bf16 rounds logits of this size by more than all of their gradient."""
    layer, target = sample(device, torch.bfloat16, 64, ignored=TOKENS)
    with torch.no_grad():
        gain = torch.logit(torch.tensor(probability)).item()
        own = layer.weight[target.clamp_min(0)].float()
        layer.input[0] = ((4 + gain) / own.square().sum(1, keepdim=True) * own).bfloat16()
        layer.twins[0].copy_(layer.input.double())
    found = run(layer.input[0], layer.weight, target, 1.0, True)
    wanted = expected(layer.logits(exact=True)[0], target, 1.0, True)
    assert ((found[0] - wanted[0]).abs() <= 3e-6).all()
    torch.autograd.backward([a.sum() for a in found])
    torch.autograd.backward([a.sum() for a in wanted])
    layer.check_gradients(torch.bfloat16)


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("ignored", [False, True])
def test_nothing(device, empty, ignored):
    """No classes selected, and no token that counts."""
    layer, target = sample(device)
    target = torch.full_like(target, IGNORED) if ignored else target
    ids = torch.tensor([] if empty else [0, CLASSES - 1], dtype=torch.int64, device=device)
    nll, selected = run(layer.input[0], layer.weight, target, ids=ids)
    selected.sum().backward()
    assert selected.shape == (TOKENS, len(ids)) and selected.dtype == torch.float32
    if empty or ignored:
        assert bool((layer.input.grad == 0).all()) and bool((layer.weight.grad == 0).all())
    if ignored:
        assert bool((nll == 0).all())


def test_ways_to_call(device):
    """Strides, another ignored label, small chunks, no gradients, autocast, and functions by other names."""
    layer, target = sample(device)
    x, weight = layer.input[0].detach(), layer.weight.detach()
    want = run(x, weight, target)[0]
    target[target == IGNORED] = 5
    strided = run(x.T.contiguous().T, weight.T.contiguous().T, target, ignore_index=5)[0]
    check_close(strided, expected(x.double() @ weight.double().T, target, 1.0, ignore_index=5)[0], torch.float32)
    layer, target = sample(device)
    try:
        liger_kernel.set_loss_memory(budget_bytes=3 * 4 * CLASSES)
        found = run(layer.input[0], layer.weight, target)[0]
        found.sum().backward()
    finally:
        liger_kernel.set_loss_memory()
    check_close(found, want.double(), torch.float32)
    expected(layer.logits(exact=True)[0], target, 1.0)[0].sum().backward()
    layer.check_gradients(torch.float32)
    with torch.no_grad():
        found = functional.liger_fused_linear_scaled_cross_entropy(layer.input[0], layer.weight, target)
    assert torch.equal(found, want)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        found = functional.liger_fused_linear_scaled_cross_entropy(
            layer.input[0], layer.weight, target, 0.8, return_entropy=True
        )
    halves = run(x.bfloat16(), weight.bfloat16(), target, 0.8, True)
    assert torch.equal(found[0], halves[0])
    assert ops.LigerFusedLinearScaledCrossEntropyFunction is LigerFusedLinearScaledCrossEntropyFunction
    assert ops.LigerFusedLinearScaledCrossEntropyTPFunction is LigerFusedLinearScaledCrossEntropyTPFunction
    assert functional.LigerFusedLinearScaledCrossEntropyTPFunction is LigerFusedLinearScaledCrossEntropyTPFunction


def wrong(device):
    layer, target = sample(device)
    x, w = layer.input[0].detach(), layer.weight.detach()
    outside = torch.full_like(target, CLASSES)
    ids = torch.tensor([0, CLASSES], device=device)
    yield TypeError, "m_tiles_per_cluster", (x, w, target, 1.0, IGNORED, True)
    yield ValueError, "m_tiles_per_cluster", (x, w, target, 1.0, IGNORED, 0)
    yield TypeError, "return_entropy", (x, w, target, 1.0, IGNORED, 1, 1)
    yield TypeError, "temperature must be a real", (x, w, target, "1")
    yield ValueError, "finite and > 0", (x, w, target, 0.0)
    yield ValueError, "expected input", (x[None], w, target)
    yield ValueError, "do not fit", (x[1:], w, target)
    yield ValueError, "at least one", (x[:0], w, target[:0])
    yield TypeError, "floating-point dtype", (x, w.half(), target)
    yield TypeError, "int64", (x, w, target.int())
    yield TypeError, "int64", (x, w, target, 1.0, IGNORED, 1, False, ids.int())
    yield ValueError, r"shape \[K\]", (x, w, target, 1.0, IGNORED, 1, False, ids[None])
    if device == "cpu":
        # On a GPU nobody waits for what these hold.
        yield ValueError, "outside", (x, w, outside)
        yield ValueError, "must be in", (x, w, target, 1.0, IGNORED, 1, False, ids)


def test_refusals(device):
    for kind, words, arguments in wrong(device):
        with pytest.raises(kind, match=words):
            LigerFusedLinearScaledCrossEntropyFunction.apply(*arguments)
    layer, target = sample(device)
    parallel = LigerFusedLinearScaledCrossEntropyTPFunction.apply
    with pytest.raises(RuntimeError, match="initialized"):
        parallel(layer.input[0], layer.weight, target, None)
    for kind, value in ((TypeError, 1.0), (ValueError, 3)):
        with pytest.raises(kind, match="tiles_per_reduce"):
            parallel(layer.input[0], layer.weight, target, None, 1.0, IGNORED, value)


# Types, temperatures, whether there is an entropy, what is ignored, the logits' size, and which results are used.
CASES = [
    (dtype, temperature, entropy, ignore_index, scale, used)
    for dtype in DTYPES
    for temperature, entropy, ignore_index, scale, used in (
        (1.0, False, IGNORED, 0.5, "nll"), (0.7, True, IGNORED, 0.5, "both"), (1.5, True, -1, 8.0, "both"),
        (1.0, True, 2, 0.5, "entropy"),
    )
]  # fmt: skip


def parallel_sample(dtype, ignore_index, scale):
    layer, target = sample("cpu", dtype, 2 * 19, scale)
    return layer, target.masked_fill(target == IGNORED, ignore_index)


def on_a_rank(rank, count):
    """Of each case, results and gradients of the rank's half of the classes."""
    results = []
    for dtype, temperature, entropy, ignore_index, scale, used in CASES:
        layer, target = parallel_sample(dtype, ignore_index, scale)
        x = layer.input[0].detach().requires_grad_()
        weight = layer.weight.detach().chunk(count)[rank].clone().requires_grad_()
        found = functional.liger_fused_linear_scaled_cross_entropy_tp(
            x, weight, target, None, temperature, ignore_index, 2, entropy
        )
        found = found if entropy else (found,)
        sum(loss for i, loss in enumerate(weighted(found)) if used in ("both", ("nll", "entropy")[i])).backward()
        results.append([*(a.detach() for a in found), x.grad, weight.grad])
    outside = torch.full((TOKENS,), 2 * 19)
    try:
        LigerFusedLinearScaledCrossEntropyTPFunction.apply(x, weight, outside, dist.group.WORLD)
    except ValueError as error:
        return results, str(error)


def weighted(found):
    return [(a * torch.linspace(-1, 2, len(a), dtype=a.dtype)).sum() for a in found]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_ranks(on_a_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ranks(ranks, number):
    dtype, temperature, entropy, ignore_index, scale, used = CASES[number]
    layer, target = parallel_sample(dtype, ignore_index, scale)
    wanted = expected(layer.logits(exact=True)[0], target, temperature, entropy, ignore_index=ignore_index)
    sum(loss for i, loss in enumerate(weighted(wanted)) if used in ("both", ("nll", "entropy")[i])).backward()
    results = [found[0][number] for found in ranks]
    # Large logits nearly cancel in the entropy of a sure choice.
    terms = [layer.logits(exact=True)[0] / temperature]
    for found in results:
        assert all(a.dtype == torch.float32 for a in found[:-2])
        check_values(found[:-2], wanted, dtype, terms)
        assert torch.equal(found[-2], results[0][-2]) and found[-2].dtype == dtype
    made = [results[0][-2], torch.cat([found[-1] for found in results])]
    for ours, twin in zip(made, layer.twins):
        check_close(ours, twin.grad.view(ours.shape), dtype, 2.5)


def test_ranks_know_the_vocabulary(ranks):
    assert all("outside [0, 38)" in found[1] for found in ranks)
