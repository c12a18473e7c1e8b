"""Cross entropy, from logits and from a linear layer, against the formula in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import random
from torch._subclasses.fake_tensor import FakeTensorMode

from liger_kernel.ops import LigerCrossEntropyFunction
from liger_kernel.ops import LigerFusedLinearCrossEntropyFunction
from liger_kernel.ops.fused_linear_cross_entropy import _budget
from liger_kernel.transformers.cross_entropy import LigerCrossEntropyLoss
from liger_kernel.transformers.functional import CrossEntropyOutput
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
from liger_kernel.transformers.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyLoss


def rows_reference(x, target, weight, options):
    """Each row's loss and z-loss, and which rows count."""
    softcap, a = options.get("softcap"), options.get("label_smoothing", 0.0)
    z = softcap * torch.tanh(x / softcap) if softcap else x
    counts = target != options.get("ignore_index", -100)
    y = torch.where(counts, target, 0)
    lse = torch.logsumexp(z, -1)
    nll = lse - z.gather(1, y[:, None])[:, 0]
    eps = a / x.shape[1]
    if weight is None:
        loss = (1 - a) * nll + a * lse - eps * z.sum(1)
    else:
        loss = (1 - a) * weight[y] * nll + eps * (lse * weight.sum() - (z * weight).sum(1))
    z_loss = options.get("lse_square_scale", 0.0) * lse**2
    scale = torch.softmax(z, -1).gather(1, y[:, None])[:, 0].detach() if options.get("use_token_scaling") else 1
    return loss * scale * counts, z_loss * scale * counts, counts, y


def reference(x, target, weight=None, reduction="mean", **options):
    """loss (with the z-loss) and z-loss."""
    loss, z_loss, counts, y = rows_reference(x, target, weight, options)
    if reduction == "none":
        return loss + z_loss, z_loss
    n = ws = 1
    if reduction == "mean":
        n = counts.sum().clamp_min(1)
        ws = n if weight is None else (weight[y] * counts).sum()
    return loss.sum() / ws + z_loss.sum() / n, z_loss.sum() / n


OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"lse_square_scale": 1e-2},
    {"softcap": 5.0},
    {"ignore_index": 2},
    {"label_smoothing": 0.2, "lse_square_scale": 1e-2, "softcap": 7.0, "ignore_index": 0},
]


def batch(rows, classes, device, dtype=torch.float32, ignored=-100, scale=3.0):
    """Logits and targets, a third of them ignored."""
    x = random(rows, classes, device=device, dtype=dtype, scale=scale)
    target = torch.randint(0, classes, (rows,), device=device)
    target[::3] = ignored
    return x, target


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(device, dtype, options, reduction, weighted):
    # Several rows of an odd length, longer than a block.
    x, target = batch(7, 1031, device, dtype, options.get("ignore_index", -100))
    weight = torch.rand(1031, device=device) if weighted else None
    twin = x.detach().double().requires_grad_()
    expected, _ = reference(twin, target, None if weight is None else weight.double(), reduction, **options)
    found = liger_cross_entropy(x, target, weight, reduction=reduction, **options)
    assert found.dtype == dtype
    check_close(found, expected, dtype, roundings=0.6)
    upstream = torch.rand_like(found) + 0.5
    found.backward(upstream)
    expected.backward(upstream.double())
    # Rounded once as it is made, and once when the upstream gradient multiplies it.
    check_close(x.grad, twin.grad, dtype, roundings=1.1)


@pytest.mark.parametrize("rows, classes", [(1, 1), (1, 2), (3, 3), (2, 127), (5, 128), (4, 129), (3, 32000)])
def test_cross_entropy_of_any_size(device, rows, classes):
    x = random(rows, classes, device=device)
    target = torch.randint(0, classes, (rows,), device=device)
    found = liger_cross_entropy(x, target)
    twin = x.detach().double().requires_grad_()
    expected = F.cross_entropy(twin, target)
    check_close(found, expected, torch.float32)
    found.backward()
    expected.backward()
    check_close(x.grad, twin.grad, torch.float32)


@pytest.mark.parametrize("p", [0.9, 0.99, 0.999])
def test_gradient_of_confident_predictions(device, p):
    # softmax(x_y) - 1 is small beside softmax(x_y): rounded before the subtraction nothing would be left.
    classes = 64
    x = torch.zeros(1, classes, device=device)
    x[0, 5] = torch.log(torch.tensor(p / (1 - p) * (classes - 1)))
    x = x.to(torch.bfloat16).requires_grad_()
    liger_cross_entropy(x, torch.tensor([5], device=device)).backward()
    twin = x.detach().double().requires_grad_()
    F.cross_entropy(twin, torch.tensor([5], device=device)).backward()
    assert abs(x.grad[0, 5].item() / twin.grad[0, 5].item() - 1) < 2**-8


def test_everything_ignored(device):
    x = random(4, 9, device=device)
    target = torch.full((4,), -100, device=device)
    result = LigerCrossEntropyLoss(return_token_accuracy=True, return_predicted_tokens=True)(x, target)
    assert result.loss.item() == 0 and torch.isnan(result.token_accuracy)
    assert torch.equal(result.predicted_tokens.cpu(), torch.full((4,), -1))
    result.loss.backward()
    assert bool((x.grad == 0).all())


def test_ignored_rows_may_hold_anything(device):
    x = torch.randn(3, 9, device=device)
    x[1] = torch.inf
    x.requires_grad_()
    target = torch.tensor([1, -100, 2], device=device)
    liger_cross_entropy(x, target).backward()
    assert bool((x.grad[1] == 0).all()) and bool(torch.isfinite(x.grad).all())


def test_results_beside_the_loss(device, dtype):
    x, target = batch(9, 40, device, dtype)
    x.data[4, 10] = x.data[4, 20] = 30.0  # A tie: the first counts.
    target[5] = x[5].argmax()
    options = dict(lse_square_scale=1e-2, softcap=20.0)
    counts = (target != -100).cpu()
    best = x.detach().float().cpu().argmax(-1)
    hits = (best == target.cpu()) & counts
    for reduction in ("mean", "none"):
        module = LigerCrossEntropyLoss(
            reduction=reduction, return_z_loss=True, return_token_accuracy=True, return_predicted_tokens=True, **options
        )
        result = module(x, target)
        assert isinstance(result, CrossEntropyOutput)
        _, z_loss = reference(x.detach().double(), target, reduction=reduction, **options)
        check_close(result.z_loss, z_loss, dtype, roundings=0.6)
        assert result.z_loss.dtype == dtype and result.token_accuracy.dtype == torch.float32
        expected = hits.float() if reduction == "none" else hits.sum() / counts.sum()
        assert torch.allclose(result.token_accuracy.cpu(), expected)
        assert result.predicted_tokens.dtype == torch.int64
        assert torch.equal(result.predicted_tokens.cpu(), torch.where(counts, best, -1))
    plain = LigerCrossEntropyFunction.apply(x, target, None)
    assert len(plain) == 4 and plain[1:] == (None, None, None)
    assert bool((LigerCrossEntropyLoss(return_z_loss=True)(x, target).z_loss == 0).all())


def test_cross_entropy_leaves_its_logits_and_allows_a_second_pass(device):
    x, target = batch(5, 33, device)
    before = x.detach().clone()
    hidden = x * 1.0
    loss = liger_cross_entropy(hidden, target)
    loss.backward(torch.tensor(3.0, device=device), retain_graph=True)
    first = x.grad.clone()
    loss.backward(torch.tensor(3.0, device=device), retain_graph=True)
    assert torch.equal(x.grad, 2 * first)
    loss.backward(torch.tensor(0.0, device=device))
    assert torch.equal(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    assert torch.equal(x, before)


def test_two_losses_on_one_logits_tensor(device):
    x, target = batch(5, 33, device)
    other = target.roll(1)
    (liger_cross_entropy(x, target) + 2 * liger_cross_entropy(x, other)).backward()
    twin = x.detach().double().requires_grad_()
    (F.cross_entropy(twin, target) + 2 * F.cross_entropy(twin, other)).backward()
    check_close(x.grad, twin.grad, torch.float32)


def test_logits_of_any_strides(device):
    wide = random(6, 64, device=device, grad=False)
    target = torch.randint(0, 6, (64,), device=device)
    x = wide.t().requires_grad_()
    liger_cross_entropy(x, target).backward()
    twin = x.detach().double().requires_grad_()
    F.cross_entropy(twin, target).backward()
    check_close(x.grad, twin.grad, torch.float32)


def test_wrong_arguments():
    x, target = batch(4, 9, "cpu")
    target[1] = 9
    with pytest.raises(AssertionError, match="out of bounds.* 9"):
        liger_cross_entropy(x, target)
    target[1] = -3
    with pytest.raises(AssertionError, match="out of bounds.* -3"):
        liger_cross_entropy(x, target)
    target[1] = 0
    with pytest.raises(AssertionError, match="size 9"):
        liger_cross_entropy(x, target, torch.rand(8))
    with pytest.raises(AssertionError, match="floating point"):
        liger_cross_entropy(x, target, torch.ones(9, dtype=torch.int64))
    with pytest.raises(AssertionError, match="return_z_loss"):
        liger_cross_entropy(x, target, return_z_loss=1)
    with pytest.raises(ValueError, match="has 4 rows. Give one for each row"):
        liger_cross_entropy(x, target[:3])
    for bad in ({"label_smoothing": 1.5}, {"reduction": "max"}, {"softcap": 0.0}):
        with pytest.raises(AssertionError):
            LigerCrossEntropyLoss(**bad)
        with pytest.raises(AssertionError):
            LigerFusedLinearCrossEntropyLoss(**bad)


# MARK: Of a linear layer


def layer(tokens, hidden, classes, device, dtype=torch.float32, has_bias=True):
    inputs = [
        random(tokens, hidden, device=device, dtype=dtype),
        random(classes, hidden, device=device, dtype=dtype, scale=hidden**-0.5),
        random(classes, device=device, dtype=dtype) if has_bias else None,
    ]
    target = torch.randint(0, classes, (tokens,), device=device)
    target[::3] = -100
    return inputs, target


def check_layer(inputs, target, dtype, reduction="mean", weight=None, roundings=2.0, **options):
    x, w, b = inputs
    twins = [None if t is None else t.detach().double().requires_grad_(t.requires_grad) for t in inputs]
    logits = twins[0] @ twins[1].T + (0 if b is None else twins[2])
    known = {k: v for k, v in options.items() if k not in ("accum_dtype", "chunk_mem_const")}
    expected, _ = reference(logits, target, None if weight is None else weight.double(), reduction, **known)
    found = liger_fused_linear_cross_entropy(x, w, target, b, weight, reduction=reduction, **options)
    assert found.dtype == torch.float32
    check_close(found, expected, dtype, roundings=roundings)
    upstream = torch.rand_like(found) + 0.5
    found.backward(upstream)
    expected.backward(upstream.double())
    for name, a, t in zip(("input", "weight", "bias"), inputs, twins):
        if a is not None and a.requires_grad:
            assert a.grad.dtype == a.dtype
            check_close(a.grad, t.grad, dtype, roundings, name)


@pytest.mark.parametrize("options", OPTIONS + [{"use_token_scaling": True}], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_fused_linear_cross_entropy(device, dtype, options, reduction, weighted):
    inputs, target = layer(13, 24, 131, device, dtype, has_bias=weighted)
    if "ignore_index" in options:
        target[target == -100] = options["ignore_index"]
    weight = torch.rand(131, device=device) if weighted else None
    check_layer(inputs, target, dtype, reduction, weight, **options)


@pytest.mark.parametrize("needs", list(itertools.product([True, False], repeat=3)))
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_frozen_parts_of_the_layer(device, needs, reduction):
    if not any(needs):
        return
    inputs, target = layer(6, 8, 17, device)
    for tensor, grad in zip(inputs, needs):
        tensor.requires_grad_(grad)
    check_layer(inputs, target, torch.float32, reduction)
    assert [t.grad is not None for t in inputs] == list(needs)


@pytest.mark.parametrize("const", [1, 2, 7])
def test_number_of_chunks(device, dtype, const):
    # Upstream's constant makes chunks of 8, 8 and 32 of 50 rows; ours decides alone for 1.
    inputs, target = layer(50, 16, 500, device, dtype)
    check_layer(inputs, target, dtype, chunk_mem_const=const)
    with pytest.raises(ValueError, match="chunk_mem_const"):
        liger_fused_linear_cross_entropy(*inputs[:2], target, chunk_mem_const=0)


@pytest.mark.parametrize("kind, size", [("cpu", 4), ("cuda", 2)])
def test_budget_of_chunks(kind, size):
    # Fake tensors know their device without having one.
    with FakeTensorMode():
        weight = torch.empty(500, 16, dtype=torch.bfloat16, device=kind)
        # 500 columns in pieces of 2 x 16 make 16 pieces: of 50 rows, 4 each.
        assert _budget(50, weight, 2) == size * 500 * 4
        assert _budget(50, weight, 1) == 0


@pytest.mark.parametrize("accum", [None, torch.float32, "weight"])
def test_accumulator_types(device, dtype, accum):
    inputs, target = layer(40, 16, 300, device, dtype)
    accum_dtype = dtype if accum == "weight" else accum
    # In the storage type each of 5 chunks rounds.
    check_layer(inputs, target, dtype, accum_dtype=accum_dtype, chunk_mem_const=2, roundings=4.0)
    with pytest.raises(ValueError, match="accum_dtype"):
        liger_fused_linear_cross_entropy(*inputs[:2], target, accum_dtype=torch.float64)


def test_all_ignored_in_a_layer(device):
    inputs, target = layer(6, 8, 17, device)
    loss = liger_fused_linear_cross_entropy(inputs[0], inputs[1], torch.full_like(target, -100), inputs[2])
    loss.backward()
    assert loss.item() == 0 and all(bool((t.grad == 0).all()) for t in inputs)


def test_module_and_function_forms(device):
    inputs, target = layer(6, 8, 17, device)
    module = LigerFusedLinearCrossEntropyLoss(return_z_loss=True, return_token_accuracy=True, lse_square_scale=0.1)
    result = module(inputs[1], inputs[0], target, inputs[2])
    assert isinstance(result, CrossEntropyOutput) and result.predicted_tokens is None
    logits = (inputs[0] @ inputs[1].T + inputs[2]).detach()
    plain = LigerCrossEntropyLoss(return_z_loss=True, return_token_accuracy=True, lse_square_scale=0.1)
    expected = plain(logits, target)
    check_close(result.loss, expected.loss, torch.float32)
    check_close(result.z_loss, expected.z_loss, torch.float32)
    assert torch.equal(result.token_accuracy, expected.token_accuracy)
    found = LigerFusedLinearCrossEntropyFunction.apply(inputs[0], inputs[1], target)
    assert len(found) == 4 and found[1:] == (None, None, None)


def test_second_pass_through_a_layer(device):
    inputs, target = layer(6, 8, 17, device)
    loss = liger_fused_linear_cross_entropy(inputs[0] * 1, inputs[1] * 1, target, inputs[2] * 1)
    loss.backward(torch.tensor(2.0, device=device), retain_graph=True)
    first = [t.grad.clone() for t in inputs]
    loss.backward(torch.tensor(2.0, device=device))
    for tensor, gradient in zip(inputs, first):
        assert torch.equal(tensor.grad, 2 * gradient)


@pytest.mark.parametrize("has_bias", [True, False])
def test_autocast(device, has_bias):
    inputs, target = layer(6, 8, 17, device, has_bias=has_bias)
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = liger_fused_linear_cross_entropy(inputs[0], inputs[1], target, inputs[2])
    loss.backward()
    assert all(t is None or t.grad.dtype == torch.float32 for t in inputs)
    low = [None if t is None else t.detach().to(torch.bfloat16).double().requires_grad_() for t in inputs]
    expected = F.cross_entropy(F.linear(*low), target)
    expected.backward()
    check_close(loss, expected, torch.bfloat16)
    check_close(inputs[1].grad, low[1].grad, torch.bfloat16)


def test_a_sum_of_losses_without_reduction(device, dtype):
    """Its upstream gradient is one number with a stride of 0."""
    x, target = random(5, 9, device=device, dtype=dtype), torch.randint(9, (5,), device=device)
    twin = x.detach().double().requires_grad_()
    liger_cross_entropy(x, target, reduction="none").sum().backward()
    F.cross_entropy(twin, target, reduction="none").sum().backward()
    check_close(x.grad, twin.grad, dtype, 1.5, "gradient")


def test_no_gradients_without_autograd(device, monkeypatch):
    """In torch.no_grad a leaf still says that it needs a gradient; none is computed."""
    from liger_kernel.ops import cross_entropy
    from liger_kernel.ops import fused_linear_cross_entropy

    needs = []

    def record(module, asked):
        run = module._run
        monkeypatch.setattr(module, "_run", lambda *arguments: needs.append(asked(*arguments)) or run(*arguments))

    record(cross_entropy, lambda *arguments: arguments[10] & cross_entropy.GRADIENT)
    record(fused_linear_cross_entropy, lambda *arguments: arguments[-1] & 7)
    x, w, b = random(4, 6, device=device), random(9, 6, device=device), random(9, device=device)
    target = torch.randint(9, (4,), device=device)
    with torch.no_grad():
        liger_cross_entropy(w, torch.randint(6, (9,), device=device))
        LigerCrossEntropyLoss()(w, torch.randint(6, (9,), device=device))
        liger_fused_linear_cross_entropy(x, w, target, b)
        LigerFusedLinearCrossEntropyLoss()(w, x, target, b)
    assert needs == [0, 0, 0, 0]
    liger_fused_linear_cross_entropy(x, w, target, b)
    assert needs[-1] == 7


@pytest.mark.parametrize("make", [LigerCrossEntropyLoss, lambda weight: LigerFusedLinearCrossEntropyLoss(weight)])
def test_class_weights_go_with_their_module(device, make):
    module = make(torch.rand(5)).to(device="meta")
    assert {b.device.type for b in module.buffers()} == {"meta"} and not module.state_dict()
    module = make(torch.rand(5)).to(device)
    assert [b.device.type for b in module.buffers()] == [torch.device(device).type]
    with pytest.raises(TypeError, match="Tensor"):
        make([1.0] * 5)
    assert not list(make(None).buffers())
