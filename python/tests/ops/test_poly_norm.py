"""PolyNorm against its formula in float64."""

import pytest
import torch

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.ops import poly_norm_backward
from liger_kernel.ops import poly_norm_forward
from liger_kernel.transformers import LigerPolyNorm
from liger_kernel.transformers.functional import liger_poly_norm


def normalised(u, eps):
    return u * torch.rsqrt(u.pow(2).mean(-1, keepdim=True) + eps)


def reference(x, w, b, eps=1e-5):
    return w[0] * normalised(x**3, eps) + w[1] * normalised(x**2, eps) + w[2] * normalised(x, eps) + b


@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 127), (33, 1001)])
def test_poly_norm(device, dtype, shape):
    inputs = [random(*s, device=device, dtype=dtype) for s in (shape, (3,), (1,))]
    # The gradients of weight and bias are sums over all elements, which pass through values far from their ends.
    terms = {
        1: lambda x, w, b, dy: torch.stack([(dy * normalised(x**k, 1e-5)).flatten().cumsum(0) for k in (3, 2, 1)]),
        2: lambda x, w, b, dy: dy.flatten().cumsum(0),
    }
    check_function(
        lambda x, w, b: liger_poly_norm(x, w, b, 1e-5), reference, inputs, dtype, gradient_roundings=4, terms=terms
    )


@pytest.mark.parametrize("offset", [16.0, 30.0])
def test_a_large_common_offset(device, dtype, offset):
    # The cube's square is beyond f16, and sums of such have more digits than bf16. The terms of x's gradient cancel.
    x = (random(3, 1001, grad=False) + offset).to(device=device, dtype=dtype).requires_grad_()
    w, b = (random(n, device=device, dtype=dtype) for n in (3, 1))
    terms = {
        0: lambda x, w, b, dy: w.abs().sum() * dy / x,
        1: lambda x, w, b, dy: torch.stack([(dy * normalised(x**k, 1e-5)).flatten().cumsum(0) for k in (3, 2, 1)]),
        2: lambda x, w, b, dy: dy.flatten().cumsum(0),
    }
    check_function(
        lambda x, w, b: liger_poly_norm(x, w, b, 1e-5), reference, [x, w, b], dtype, gradient_roundings=4, terms=terms
    )


def test_module_and_raw_functions(device):
    module, x = LigerPolyNorm(1e-5).to(device), random(4, 33, device=device)
    y = module(x)
    check_close(y, reference(x, module.weight, module.bias), torch.float32)
    module.bias.requires_grad_(False)
    dy = torch.randn_like(y)
    y = module(x)
    y.backward(dy)
    assert module.bias.grad is None and module.bias.shape == ()
    Y, rows, rstd, *_ = poly_norm_forward(x.detach(), module.weight.detach(), module.bias.detach(), 1e-5)
    dX, dW, dB = poly_norm_backward(dy, rows, module.weight.detach(), rstd)
    assert torch.equal(Y, y) and torch.equal(dX, x.grad) and torch.equal(dW, module.weight.grad)
    check_close(dB, dy.sum(), torch.float32)
    with pytest.raises(AssertionError, match=r"\(3,\)"):
        liger_poly_norm(x, torch.ones(2, device=device), module.bias)
