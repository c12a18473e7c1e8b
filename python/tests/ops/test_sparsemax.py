"""Sparsemax: values, gradients, dimensions, offsets, and a compiler."""

import pytest
import torch

from conftest import check_close
from conftest import random

from liger_kernel.transformers import LigerSparsemax
from liger_kernel.transformers.functional import liger_sparsemax


def sparsemax(x, dim=-1):
    """By sorting."""
    z = x - x.amax(dim, keepdim=True)
    z = z.movedim(dim, -1)
    ordered = z.sort(-1, descending=True).values
    ranks = torch.arange(1, z.shape[-1] + 1, dtype=z.dtype, device=z.device)
    sums = ordered.cumsum(-1) - 1
    count = (ordered * ranks > sums).sum(-1, keepdim=True)
    return (z - sums.gather(-1, count - 1) / count).clamp_min(0).movedim(-1, dim)


@pytest.mark.parametrize("shape, dim", [((7, 33), -1), ((2, 3, 5), 1), ((4, 9), 0), ((6,), 0), ((3, 1000), -1)])
def test_sparsemax(device, dtype, shape, dim):
    for scale in (0.01, 1.0, 4.0):
        x = random(*shape, device=device, dtype=dtype, scale=scale)
        y, upstream = liger_sparsemax(x, dim), torch.randn(*shape, device=device, dtype=dtype)
        assert y.dtype == dtype and torch.equal(LigerSparsemax(dim)(x), y)
        check_close(y, sparsemax(x.double(), dim), dtype)
        # Where y is 0 by a rounding, either side's derivative is one.
        inside, g = (y > 0).double(), upstream.double()
        expected = inside * (g - (inside * g).sum(dim, keepdim=True) / inside.sum(dim, keepdim=True))
        check_close(torch.autograd.grad(y, x, upstream)[0], expected, dtype, what="gradient", terms=[g])


def test_an_offset_changes_nothing(device):
    x = torch.randint(-20, 20, (5, 70), device=device) / 16
    assert torch.equal(liger_sparsemax(x), liger_sparsemax(x + 2.0**19))
    equal = torch.ones(2, 4, device=device)
    assert torch.equal(liger_sparsemax(equal * 1e30), equal / 4)


@pytest.mark.parametrize("offset", [1e3, -1e3, 3e4])
def test_a_large_common_offset(device, dtype, offset):
    x = (random(4, 257, grad=False, scale=offset / 1e3) + offset).to(device=device, dtype=dtype).requires_grad_()
    y, upstream = liger_sparsemax(x), torch.randn(4, 257, device=device, dtype=dtype)
    expected = sparsemax(x.double())
    check_close(y, expected, dtype)
    check_close(y.sum(-1), torch.ones(4, dtype=torch.float64, device=device), dtype, roundings=4)
    inside, g = (expected > 0).double(), upstream.double()
    wanted = inside * (g - (inside * g).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True))
    check_close(torch.autograd.grad(y, x, upstream)[0], wanted, dtype, what="gradient", terms=[g])


def test_rows_without_a_maximum(device):
    x = torch.full((2, 3), -torch.inf, device=device)
    x[1, 2] = 5
    x.requires_grad_()
    y = liger_sparsemax(x)
    y.backward(torch.ones_like(y))
    assert torch.equal(y, torch.tensor([[0.0, 0, 0], [0, 0, 1]], device=device)) and not x.grad.any()


def test_fullgraph(device):
    x = random(3, 5, 4, device=device)
    upstream = torch.randn(3, 5, 4, device=device)
    compiled = torch.compile(lambda x: liger_sparsemax(x, 1) * 2, fullgraph=True, backend="aot_eager")
    found, expected = compiled(x), liger_sparsemax(x, 1) * 2
    assert torch.equal(found, expected)
    assert torch.equal(*(torch.autograd.grad(y, x, upstream)[0] for y in (found, expected)))
