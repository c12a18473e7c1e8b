"""Modulated RMSNorm against its formula in float64."""

import itertools

import pytest
import torch

from conftest import check_function
from conftest import random

from liger_kernel.ops import modulated_rms_norm_backward
from liger_kernel.ops import modulated_rms_norm_forward
from liger_kernel.transformers import LigerModulatedRMSNorm
from liger_kernel.transformers.functional import liger_modulated_rms_norm


def reference(x, w, scale, shift, offset=0.0, eps=1e-5):
    n = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    n = n if w is None else n * (w + offset)
    rows = n.reshape(-1, n.shape[-1])

    def spread(m):
        m = m.reshape(-1, n.shape[-1])
        return m.repeat_interleave(rows.shape[0] // m.shape[0], 0)

    y = rows * (1 + spread(scale)) + (0 if shift is None else spread(shift))
    return y.reshape(x.shape)


@pytest.mark.parametrize("leading", [(), (2,), (2, 6)])  # One for all rows, one for a sample, one for each row.
@pytest.mark.parametrize("has_weight, has_shift", list(itertools.product([True, False], repeat=2)))
def test_modulated_rms_norm(device, dtype, leading, has_weight, has_shift):
    shapes = [(2, 6, 33), (33,), (*leading, 33), (*leading, 33)]
    inputs = [random(*s, device=device, dtype=dtype) for s in shapes]
    there = [True, has_weight, True, has_shift]

    def given(function):
        def run(*tensors):
            tensors = iter(tensors)
            return function(*(next(tensors) if t else None for t in there))

        return run

    check_function(
        given(lambda x, w, a, b: liger_modulated_rms_norm(x, w, a, b, 1e-5, 0.5, "none")),
        given(lambda x, w, a, b: reference(x, w, a, b, 0.5)), [i for i, t in zip(inputs, there) if t], dtype,
        gradient_roundings=4,
    )  # fmt: skip


def test_frozen_parts_and_raw_functions(device):
    module, x = LigerModulatedRMSNorm(16).to(device), random(4, 3, 16, device=device)
    scale, shift = random(4, 1, 16, device=device), random(4, 1, 16, device=device, grad=False)
    dy = torch.randn(4, 3, 16, device=device)
    y = module(x, scale, shift)
    y.backward(dy)
    assert shift.grad is None and scale.grad.shape == scale.shape
    arguments = [t.detach() for t in (x, module.weight, scale, shift)]
    Y, rstd, _, _, casting, share = modulated_rms_norm_forward(*arguments, 1e-6, 0.0, "llama")
    dX, dW, dscale, dshift = modulated_rms_norm_backward(dy, *arguments, rstd, 0.0, casting)
    assert share == 3 and torch.equal(Y, y) and torch.equal(dX, x.grad)
    assert torch.equal(dW, module.weight.grad) and torch.equal(dscale, scale.grad)
    torch.testing.assert_close(dshift, dy.sum(1, keepdim=True))
    assert LigerModulatedRMSNorm(16, elementwise_affine=False).weight is None


def test_refusals(device):
    x = random(4, 3, 16, device=device)
    for shape in [(5, 16), (15,), (0, 16)]:
        with pytest.raises(AssertionError, match="Scale"):
            liger_modulated_rms_norm(x, None, torch.ones(shape, device=device))
    with pytest.raises(AssertionError, match="Shift"):
        liger_modulated_rms_norm(x, None, torch.ones(4, 16, device=device), torch.ones(16, device=device))
    with pytest.raises(AssertionError, match="casting"):
        liger_modulated_rms_norm(x, None, torch.ones(4, 16, device=device), casting_mode="other")
