"""Cross entropy of logits whose classes are spread over ranks, against torch's over whole logits in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import DTYPES
from conftest import check_close
from processes import on_ranks

from liger_kernel import ops
from liger_kernel import transformers
from liger_kernel.ops.vocab_parallel_cross_entropy import LigerVocabParallelCEFunction
from liger_kernel.ops.vocab_parallel_cross_entropy import validate_formula_and_mode
from liger_kernel.transformers.vocab_parallel_cross_entropy import LigerVocabParallelCrossEntropy

IGNORED = -100
LENGTH, BATCH = 5, 3
FORMULAS, MODES = ("pytorch", "megatron"), ("global", "partition")


def sample(classes, dtype=torch.float32, device="cpu", ignore_index=IGNORED, scale=3.0):
    torch.manual_seed(11)
    logits = (scale * torch.randn(LENGTH, BATCH, classes)).to(device=device, dtype=dtype)
    target = torch.randint(classes, (LENGTH, BATCH), device=device)
    target[1::3, 1] = ignore_index
    return logits.requires_grad_(), target


def expected(logits, target, smoothing=0.0, formula="pytorch", classes=None, ignore_index=IGNORED):
    """classes: those that the mean of log-probabilities is over; all of them if None."""
    logs = logits.log_softmax(-1)
    counts = target != ignore_index
    own = -logs.gather(-1, target.masked_fill(~counts, 0)[..., None])[..., 0]
    averaged = logs if classes is None else logs[..., classes]
    k = averaged.shape[-1]
    a = smoothing * k / (k - 1) if formula == "megatron" else smoothing
    return torch.where(counts, (1 - a) * own - a * averaged.mean(-1), 0.0)


def test_the_reference():
    logits, target = sample(7)
    for smoothing in (0.0, 0.2):
        wanted = F.cross_entropy(
            logits.flatten(0, 1).double(), target.flatten(), reduction="none", label_smoothing=smoothing
        )
        assert torch.allclose(expected(logits.double(), target, smoothing).flatten(), wanted)


@pytest.mark.parametrize("classes", [2, 37, 1030])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ignore_index", [IGNORED, 1])
def test_one_rank(device, dtype, classes, smoothing, formula, mode, ignore_index):
    logits, target = sample(classes, dtype, device, ignore_index)
    before = logits.detach().clone()
    made = LigerVocabParallelCrossEntropy(ignore_index, smoothing, "none", formula, mode)
    loss = made(logits, target)
    twin = logits.detach().double().requires_grad_()
    wanted = expected(twin, target, smoothing, formula, ignore_index=ignore_index)
    assert loss.dtype == torch.float32 and loss.shape == target.shape
    check_close(loss, wanted, torch.float32)
    upstream = torch.randn_like(loss)
    loss.backward(upstream, retain_graph=True)
    wanted.backward(upstream.double())
    check_close(logits.grad, twin.grad, dtype)
    assert bool((logits.grad[target == ignore_index] == 0).all()) and torch.equal(logits, before)
    first, logits.grad = logits.grad, None
    loss.backward(upstream)
    assert torch.equal(first, logits.grad)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_what_ignored_rows_hold(device, smoothing):
    """Far apart, infinite or no numbers: nothing of it reaches loss or gradient, nor do padded classes of others."""
    logits, target = sample(8, device=device)
    target[0] = IGNORED
    with torch.no_grad():
        logits[0, 0, :4], logits[0, 1, 2], logits[0, 2] = -1e4, float("-inf"), float("nan")
        # The softmax underflows there and its logarithm does not.
        logits[1, 0, 3] = -500.0
        logits[2] += 1e3
    loss = LigerVocabParallelCrossEntropy(label_smoothing=smoothing)(logits, target)
    loss.sum().backward()
    twin = logits.detach().double().requires_grad_()
    wanted = expected(twin[1:], target[1:], smoothing)
    wanted.sum().backward()
    check_close(loss[1:], wanted, torch.float32)
    check_close(logits.grad[1:], twin.grad[1:], torch.float32)
    assert bool((loss[0] == 0).all()) and bool((logits.grad[0] == 0).all())


def test_no_ignored_label(device):
    logits, target = sample(8, device=device, ignore_index=3)
    loss = LigerVocabParallelCEFunction.apply(logits, target, None, None, 0.0, "pytorch", "global")
    loss.sum().backward()
    check_close(loss, expected(logits.double(), target), torch.float32)
    assert bool((logits.grad != 0).any(-1).all())


def test_targets_that_nobody_has(device):
    """As in Megatron: finite, with the row's maximum for the target's logit, and the softmax as gradient."""
    logits, target = sample(8, device=device)
    target = torch.where(target == IGNORED, 0, target)
    target[2], target[3] = 13, -1
    loss = LigerVocabParallelCrossEntropy()(logits, target)
    loss.sum().backward()
    outside = logits.detach().double()[2:4]
    check_close(loss[2:4], outside.logsumexp(-1) - outside.amax(-1), torch.float32)
    check_close(logits.grad[2:4], outside.softmax(-1), torch.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_compiled(device, smoothing):
    logits, target = sample(17, device=device)
    module = LigerVocabParallelCrossEntropy(label_smoothing=smoothing)
    results = []
    for run in (module, torch.compile(module, fullgraph=True, backend="aot_eager")):
        loss = run(logits, target)
        results.append((loss, torch.autograd.grad(loss.sum(), logits)[0]))
    assert all(torch.equal(*pair) for pair in zip(*results))


def test_names_and_refusals(device):
    assert transformers.LigerVocabParallelCrossEntropy is LigerVocabParallelCrossEntropy
    assert ops.LigerVocabParallelCEFunction is LigerVocabParallelCEFunction
    for options, words in (
        ({"reduction": "mean"}, "reduction must be 'none'"), ({"label_smoothing": 1.0}, r"\[0, 1\)"),
        ({"label_smoothing_formula": "other"}, "label_smoothing_formula"),
        ({"label_smoothing_mode": "other"}, "label_smoothing_mode"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            LigerVocabParallelCrossEntropy(**options)
    with pytest.raises(ValueError, match="mode"):
        validate_formula_and_mode("pytorch", "none")
    validate_formula_and_mode("megatron", "partition")
    logits, target = sample(8, device=device)
    with pytest.raises(ValueError, match="3-D"):
        LigerVocabParallelCrossEntropy()(logits[0], target)
    with pytest.raises(ValueError, match="3-D"):
        LigerVocabParallelCEFunction.apply(logits[0], target, None, IGNORED, 0.0, "pytorch", "global")
    with pytest.raises(ValueError, match="target must have shape"):
        LigerVocabParallelCrossEntropy()(logits, target.T)
    assert "label_smoothing=0.1" in repr(LigerVocabParallelCrossEntropy(label_smoothing=0.1))


CASES = [
    (dtype, smoothing, formula, mode)
    for dtype in DTYPES
    for smoothing in (0.0, 0.1)
    for formula in FORMULAS
    for mode in MODES
]


def on_a_rank(rank, count):
    """Of each case, losses and the gradient of the rank's part of the logits, for upstream gradients of 1."""
    results = []
    for dtype, smoothing, formula, mode in CASES:
        logits, target = sample(2 * 19, dtype)
        own = logits.detach().chunk(count, -1)[rank].clone().requires_grad_()
        loss = LigerVocabParallelCrossEntropy(IGNORED, smoothing, "none", formula, mode)(
            own, target, torch.distributed.group.WORLD
        )
        loss.sum().backward()
        results.append([loss.detach(), own.grad])
    return results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_ranks(on_a_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("number", range(len(CASES)))
def test_ranks(ranks, number):
    dtype, smoothing, formula, mode = CASES[number]
    logits, target = sample(2 * 19, dtype)
    for rank, results in enumerate(ranks):
        own = slice(rank * 19, rank * 19 + 19)
        twin = logits.detach().double().requires_grad_()
        wanted = expected(twin, target, smoothing, formula, own if mode == "partition" else None)
        wanted.sum().backward()
        loss, gradient = results[number]
        check_close(loss, wanted, torch.float32)
        check_close(gradient, twin.grad[..., own], dtype)
    if mode == "global":
        assert torch.equal(ranks[0][number][0], ranks[1][number][0])
