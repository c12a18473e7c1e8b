"""KL, Jensen-Shannon and total variation against their formulas in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close

from liger_kernel.transformers.functional import liger_jsd
from liger_kernel.transformers.functional import liger_kl_div
from liger_kernel.transformers.functional import liger_tvd
from liger_kernel.transformers.jsd import LigerJSD
from liger_kernel.transformers.kl_div import LigerKLDIVLoss
from liger_kernel.transformers.tvd import LigerTVDLoss

SHAPES = [(1, 2), (3, 7), (4, 129), (2, 4097)]


def distributions(shape, dtype, device, logarithms):
    """A student's and a teacher's, rounded to the storage type."""
    made = [torch.log_softmax(3 * torch.randn(*shape), -1) for _ in range(2)]
    made = [(t if logarithms else t.exp()).to(device=device, dtype=dtype) for t in made]
    return made[0].requires_grad_(), made[1]


def check(ours, reference, student, teacher, dtype, loss_dtype, roundings=1.5):
    twin = student.detach().double().requires_grad_()
    found, expected = ours(student, teacher), reference(twin, teacher.double())
    assert found.dtype == loss_dtype
    check_close(found, expected, dtype, roundings, "loss")
    upstream = torch.rand_like(found) + 0.5
    found.backward(upstream, retain_graph=True)
    expected.backward(upstream.double())
    check_close(student.grad, twin.grad, dtype, roundings, "gradient")
    first = student.grad.clone()
    student.grad = None
    found.backward(upstream)
    assert torch.equal(student.grad, first)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl(device, dtype, shape, reduction, log_target):
    student, _ = distributions(shape, dtype, device, True)
    _, teacher = distributions(shape, dtype, device, log_target)
    check(
        lambda x, t: liger_kl_div(x, t, reduction=reduction, log_target=log_target),
        lambda x, t: F.kl_div(x, t, reduction=reduction, log_target=log_target), student, teacher, dtype, torch.float32,
    )  # fmt: skip
    assert torch.equal(
        LigerKLDIVLoss(reduction=reduction, log_target=log_target)(student, teacher),
        liger_kl_div(student, teacher, reduction=reduction, log_target=log_target),
    )


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 3, 5, 8), (8,), (1, 8)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.filterwarnings("ignore")
def test_kl_of_any_shape(device, shape, reduction):
    """A batch is what is first, as torch has it, however many rows each of its elements has."""
    student, teacher = distributions(shape, torch.float32, device, False)
    student = student.detach().log().requires_grad_()
    check(
        lambda x, t: liger_kl_div(x, t, reduction=reduction), lambda x, t: F.kl_div(x, t, reduction=reduction),
        student, teacher, torch.float32, torch.float32,
    )  # fmt: skip


@pytest.mark.parametrize("old", [{"size_average": False}, {"reduce": False}, {"size_average": False, "reduce": False}])
@pytest.mark.filterwarnings("ignore")
def test_old_names_of_a_reduction(device, old):
    student, teacher = distributions((4, 8), torch.float32, device, False)
    student = student.detach().log()
    assert torch.allclose(liger_kl_div(student, teacher, **old), F.kl_div(student, teacher, **old))


def jsd(x, y, labels, beta, ignore_index=-100):
    q, p = x.exp(), y.exp()
    if beta == 0:
        rows = (p * (y - x)).sum(-1)
    elif beta == 1:
        rows = (q * (x - y)).sum(-1)
    else:
        m = (beta * p + (1 - beta) * q).log()
        rows = (beta * p * (y - m) + (1 - beta) * q * (x - m)).sum(-1)
    if labels is None:
        return rows.mean()
    counts = labels != ignore_index
    return (rows * counts).sum() / counts.sum().clamp_min(1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("has_labels", [False, True])
def test_jsd(device, dtype, shape, beta, has_labels):
    student, teacher = distributions(shape, dtype, device, True)
    labels = torch.arange(shape[0], device=device) if has_labels else None
    if has_labels:
        labels[1::2] = -100
    check(
        lambda x, t: liger_jsd(x, t, labels, beta), lambda x, t: jsd(x, t, labels, beta), student, teacher, dtype,
        dtype, roundings=2.5,
    )  # fmt: skip
    assert torch.equal(LigerJSD(beta)(student, teacher, labels), liger_jsd(student, teacher, labels, beta))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.parametrize("has_labels", [False, True])
def test_tvd(device, dtype, shape, reduction, has_labels):
    student, teacher = distributions(shape, dtype, device, False)
    labels = torch.arange(shape[0], device=device) if has_labels else None
    if has_labels:
        labels[1::2] = -100
    counts = torch.ones(shape[0], 1, device=device) if labels is None else (labels != -100)[:, None]

    def reference(p, q):
        entries = 0.5 * (p - q).abs() * counts
        n = counts.sum()
        return {
            "none": entries,
            "sum": entries.sum(),
            "mean": entries.sum() / (n * shape[1]),
            "batchmean": entries.sum() / n,
        }[reduction]

    check(
        lambda p, q: liger_tvd(p, q, labels, reduction), reference, student, teacher, dtype, torch.float32
    )
    module = LigerTVDLoss(reduction)
    assert torch.equal(module(student, teacher, labels), liger_tvd(student, teacher, labels, reduction))


def test_everything_ignored_and_equal_distributions(device):
    student, teacher = distributions((3, 8), torch.float32, device, True)
    loss = liger_jsd(student, teacher, torch.full((3,), -100, device=device))
    loss.backward()
    assert loss.item() == 0 and bool((student.grad == 0).all())
    same = student.detach().clone()
    assert abs(liger_jsd(student, same).item()) < 1e-6
    p = same.exp().requires_grad_()
    loss = liger_tvd(p, p.detach().clone())
    loss.backward()
    assert loss.item() == 0 and bool((p.grad == 0).all())


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
def test_tvd_of_no_token_is_0(device, dtype, reduction):
    student, teacher = distributions((3, 8), dtype, device, False)
    loss = liger_tvd(student, teacher, torch.full((3,), -100, device=device), reduction)
    loss.backward(torch.ones_like(loss))
    assert torch.equal(loss, torch.zeros_like(loss)) and torch.equal(student.grad, torch.zeros_like(student))


def test_wrong_arguments():
    student, teacher = distributions((3, 8), torch.float32, "cpu", True)
    with pytest.raises(AssertionError, match="shift_labels"):
        liger_jsd(student, teacher, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="β of the teacher is 1.5"):
        liger_jsd(student, teacher, beta=1.5)
    with pytest.raises(ValueError, match="reduction"):
        liger_kl_div(student, teacher, reduction="other")
    with pytest.raises(ValueError, match="reduction"):
        liger_tvd(student, teacher, reduction="other")
