"""Attention residuals against their formula in float64."""

import pytest
import torch

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.ops import attn_res_backward
from liger_kernel.ops import attn_res_forward
from liger_kernel.transformers.functional import liger_attn_res


def weights(v, query, norm, eps=1e-5):
    keys = v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + eps) * norm
    return (keys @ query).softmax(0)


def reference(v, query, norm):
    return (weights(v, query, norm)[..., None] * v).sum(0)


@pytest.mark.parametrize("shape", [(1, 3, 8), (3, 2, 5, 33), (40, 1, 4, 128)])
def test_attn_res(device, dtype, shape):
    size = shape[-1] ** -0.5
    inputs = [random(*shape, device=device, dtype=dtype), random(shape[-1], device=device, dtype=dtype, scale=size)]
    inputs.append(random(shape[-1], device=device, dtype=dtype))
    check_function(lambda v, q, n: liger_attn_res(v, q, n, 1e-5), reference, inputs, dtype, gradient_roundings=4)


def test_lists_and_raw_functions(device):
    blocks = [random(2, 5, 16, device=device) for _ in range(3)]
    query, norm = random(16, device=device, scale=0.2), random(16, device=device, grad=False)
    h, dh = liger_attn_res(blocks, query, norm, 1e-5), torch.randn(2, 5, 16, device=device)
    h.backward(dh)
    v = torch.stack([b.detach() for b in blocks])
    out, rows, alpha, rstd = attn_res_forward([b.detach() for b in blocks], query.detach(), norm, 1e-5)
    assert torch.equal(out, h) and alpha.shape == rstd.shape == (10, 3)
    check_close(alpha, weights(v.double(), query.double(), norm.double()).reshape(3, 10).T, torch.float32)
    dv, dquery, dnorm = attn_res_backward(dh, rows, query.detach(), norm, alpha, rstd, 1e-5)
    assert torch.equal(dv.reshape(v.shape), torch.stack([b.grad for b in blocks]))
    assert torch.equal(dquery, query.grad) and norm.grad is None and dnorm.shape == (16,)
