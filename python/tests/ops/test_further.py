"""Further operations against their formulas in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.ops import LigerFusedAddRMSNormFunction
from liger_kernel.ops import LigerGroupNormFunction
from liger_kernel.ops.llama4_rope import LigerLlama4RopeFunction
from liger_kernel.transformers.dyt import LigerDyT
from liger_kernel.transformers.functional import liger_dyt
from liger_kernel.transformers.functional import liger_relu_squared
from liger_kernel.transformers.fused_add_rms_norm import LigerFusedAddRMSNorm
from liger_kernel.transformers.group_norm import LigerGroupNorm
from liger_kernel.transformers.llama4_rope import liger_llama4_text_rotary_pos_emb
from liger_kernel.transformers.llama4_rope import liger_llama4_vision_rotary_pos_emb
from liger_kernel.transformers.qwen2vl_mrope import liger_multimodal_rotary_pos_emb

SHAPES = [(3, 4), (2, 5, 127), (4, 128), (3, 129), (33, 1001)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset, casting", [(0.0, "llama"), (1.0, "gemma")])
def test_fused_add_rms_norm(device, dtype, shape, offset, casting):
    def reference(x, r, w):
        # s is rounded to the storage type before it is normalised.
        s = x + r
        stored = s + ((x.detach().to(dtype) + r.detach().to(dtype)).double() - s.detach())
        return stored * torch.rsqrt(stored.pow(2).mean(-1, keepdim=True) + 1e-5) * (w + offset), stored

    inputs = [random(*s, device=device, dtype=dtype) for s in (shape, shape, shape[-1:])]
    check_function(
        lambda x, r, w: LigerFusedAddRMSNormFunction.apply(x, r, w, 1e-5, offset, casting), reference, inputs, dtype,
        gradient_roundings=4,
    )  # fmt: skip


@pytest.mark.parametrize("needs", list(itertools.product([True, False], repeat=3)))
def test_fused_add_rms_norm_with_frozen_parts(device, needs):
    if not any(needs):
        return
    x, r = (random(3, 16, device=device, grad=grad) for grad in needs[:2])
    module = LigerFusedAddRMSNorm(16).to(device)
    module.weight.requires_grad_(needs[2])
    y, s = module(x, r)
    (y.sum() + 2 * s.sum()).backward()
    assert [t.grad is not None for t in (x, r, module.weight)] == list(needs)
    if needs[0] and needs[1]:
        # Equal, but not one memory: an optimiser may write to either.
        assert torch.equal(x.grad, r.grad) and x.grad.data_ptr() != r.grad.data_ptr()
    assert torch.equal(s, x + r)


@pytest.mark.parametrize("shape, groups", [((2, 4, 5), 2), ((1, 6, 1), 3), ((3, 8, 7, 5), 1), ((2, 12, 129), 4)])
def test_group_norm(device, dtype, shape, groups):
    inputs = [random(*s, device=device, dtype=dtype) for s in (shape, shape[1:2], shape[1:2])]
    check_function(
        lambda x, w, b: LigerGroupNormFunction.apply(x, w, b, shape[1], groups, 1e-2),
        lambda x, w, b: F.group_norm(x, groups, w, b, 1e-2), inputs, dtype, gradient_roundings=3,
    )  # fmt: skip


@pytest.mark.parametrize("offset", [64.0, 4096.0])
def test_group_norm_of_a_large_mean(device, dtype, offset):
    # 16-bit sums of such numbers would have lost the variance.
    x = (random(2, 6, 129, grad=False, scale=offset / 64) + offset).to(device=device, dtype=dtype).requires_grad_()
    w, b = (random(6, device=device, dtype=dtype) for _ in range(2))
    check_function(
        lambda x, w, b: LigerGroupNormFunction.apply(x, w, b, 6, 2, 1e-5),
        lambda x, w, b: F.group_norm(x, 2, w, b, 1e-5), [x, w, b], dtype, gradient_roundings=3,
    )  # fmt: skip


def test_group_norm_module():
    module = LigerGroupNorm(6, 3, bias=True)
    x = torch.randn(2, 6, 5)
    check_close(module(x), F.group_norm(x, 3, module.weight, module.bias, 1e-6), torch.float32)
    for wrong in (torch.randn(2, 6), torch.randn(2, 5, 5)):
        with pytest.raises(AssertionError):
            module(wrong)
    with pytest.raises(AssertionError, match="divisible"):
        LigerGroupNorm(6, 4)
    assert LigerGroupNorm(6, 3, eps=1e-3).eps == 1e-3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_beta", [True, False])
def test_dyt(device, dtype, shape, has_beta):
    inputs = [random(*s, device=device, dtype=dtype) for s in (shape, (1,), shape[-1:])]
    inputs.append(random(shape[-1], device=device, dtype=dtype) if has_beta else None)
    check_function(
        liger_dyt,
        lambda x, a, g, b: g * torch.tanh(a * x) + (0 if b is None else b),
        inputs,
        dtype,
        gradient_roundings=4,
        # Alpha's gradient is one number, the sum over all of x: with one draw it is a thousandth of what it sums.
        terms={1: lambda x, a, g, b, dy: dy * g * (1 - torch.tanh(a * x) ** 2) * x},
    )


def test_dyt_module():
    module = LigerDyT(8, beta=False, init_alpha=0.25)
    assert module.beta is None and module.alpha.item() == 0.25
    x = torch.randn(2, 8)
    check_close(module(x), torch.tanh(0.25 * x), torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_relu_squared(device, dtype, shape):
    check_function(
        liger_relu_squared, lambda x: F.relu(x) ** 2, [random(*shape, device=device, dtype=dtype)], dtype
    )


@pytest.mark.parametrize("sections, size", [([2, 3, 3], 16), ([1, 1, 2], 12)])
@pytest.mark.parametrize("tables_batch", [1, 2])
def test_multimodal_rope(device, dtype, sections, size, tables_batch):
    half = sum(sections)
    angles = torch.rand(3, tables_batch, 5, half, device=device) * 6
    cos, sin = (f(torch.cat((angles, angles), -1)).to(dtype) for f in (torch.cos, torch.sin))
    planes = torch.repeat_interleave(torch.arange(3), torch.tensor(sections)).to(device)

    def rotated(x):
        c, s = (
            torch.gather(t[..., :half].double(), 0, planes.expand(1, tables_batch, 5, half))[0].unsqueeze(1)
            for t in (cos, sin)
        )
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat((a * c - b * s, b * c + a * s, rest), -1)

    q = random(2, 5, 4, size, device=device, dtype=dtype, grad=False).transpose(1, 2).requires_grad_()
    k = random(2, 2, 5, size, device=device, dtype=dtype)
    check_function(
        lambda q, k: liger_multimodal_rotary_pos_emb(q, k, cos, sin, sections),
        lambda q, k: (rotated(q), rotated(k)), [q, k], dtype,
    )  # fmt: skip
    with pytest.raises(ValueError, match="mrope_section"):
        liger_multimodal_rotary_pos_emb(q, k, cos, sin, sections[:2])


@pytest.mark.parametrize("batched", [False, True])
def test_llama4_rope(device, dtype, batched):
    angles = torch.rand(*((2, 5, 4) if batched else (5, 4)), device=device) * 6
    rotations = torch.polar(torch.ones_like(angles), angles)

    def rotated(x):
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        numbers = rotations.to(torch.complex128).reshape(-1, 5, 1, 4)
        return torch.view_as_real(pairs * numbers).flatten(-2)

    q, k = random(2, 5, 3, 8, device=device, dtype=dtype), random(2, 5, 1, 8, device=device, dtype=dtype)
    check_function(
        lambda q, k: liger_llama4_text_rotary_pos_emb(q, k, rotations), lambda q, k: (rotated(q), rotated(k)), [q, k],
        dtype,
    )  # fmt: skip
    yq, _ = liger_llama4_vision_rotary_pos_emb(q, k, rotations)
    check_close(yq, rotated(q.double()), dtype)
    # A model cast to another type has lost the imaginary part; the vision tower's have a dimension for the head.
    real, cosines = torch.view_as_complex(q.float().reshape(2, 5, 3, 4, 2)), rotations.real.reshape(-1, 5, 1, 4)
    stretched, _ = liger_llama4_vision_rotary_pos_emb(q, k, rotations.real if batched else rotations.real.unsqueeze(1))
    check_close(stretched, torch.view_as_real(real * cosines).flatten(-2), dtype)
    with pytest.raises(TypeError, match="must be complex"):
        LigerLlama4RopeFunction.apply(q, k, angles)
