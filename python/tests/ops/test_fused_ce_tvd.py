"""Cross entropy with total variation distance against its formulas in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel._library import CheckFailedError
from liger_kernel.ops import LigerFusedCETVDFunction
from liger_kernel.ops import fused_ce_tvd_backward
from liger_kernel.ops import fused_ce_tvd_forward
from liger_kernel.transformers import LigerFusedCETVDLoss


def reference(student, teacher, target, ignore_index=-100):
    counts = target != ignore_index
    ce = F.cross_entropy(student, target, reduction="none", ignore_index=ignore_index)
    return ce, (student.softmax(-1) - teacher.softmax(-1)).abs().sum(-1) / 2 * counts


@pytest.mark.parametrize("classes", [3, 129, 1001])
@pytest.mark.parametrize("ignore_index", [-100, 1])
def test_ce_tvd(device, dtype, classes, ignore_index):
    student = random(6, classes, device=device, dtype=dtype, scale=2)
    teacher = random(6, classes, device=device, dtype=dtype, scale=2, grad=False)
    target = torch.randint(classes, (6,), device=device)
    target[2] = ignore_index
    # Both losses come in fp32.
    check_function(
        lambda x: tuple(t.to(dtype) for t in LigerFusedCETVDFunction.apply(x, teacher, target, ignore_index)),
        lambda x: reference(x, teacher.to(x.dtype), target, ignore_index), [student], dtype, gradient_roundings=2,
    )  # fmt: skip


def test_exact_cases_and_raw_functions(device):
    x, target = random(4, 17, device=device), torch.tensor([0, 5, -100, 16], device=device)
    ce, tvd = LigerFusedCETVDLoss()(x, x.detach(), target)
    tvd.sum().backward(retain_graph=True)
    assert ce.dtype == torch.float32 and not tvd.any() and not x.grad.any()
    ce.sum().backward()
    raw, distance, lse, other, statistics = fused_ce_tvd_forward(x.detach(), x.detach(), target, -100)
    kept = target != -100
    check_close(lse[kept], x[kept].double().logsumexp(-1), torch.float32)
    assert torch.equal(raw, ce) and torch.equal(lse, other) and torch.equal(distance, tvd)
    ones, zeros = torch.ones(4, device=device), torch.zeros(4, device=device)
    again = fused_ce_tvd_backward(ones, zeros, x.detach(), x.detach(), target, lse, other, statistics, -100)
    assert torch.equal(again, x.grad)


def test_refusals():
    x, target = torch.randn(4, 5), torch.tensor([0, 1, 2, 5])
    for arguments in [(x, x[:3], target), (x, x, target[:3]), (x[None], x[None], target)]:
        with pytest.raises(ValueError, match="must (have|be 2D)"):
            LigerFusedCETVDFunction.apply(*arguments)
    with pytest.raises(CheckFailedError, match="out of bounds"):
        LigerFusedCETVDFunction.apply(x, x, target)
