"""RMSNorm and LayerNorm against their formulas in float64."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.ops import LigerLayerNormFunction
from liger_kernel.ops import LigerRMSNormFunction
from liger_kernel.ops.rms_norm import rms_norm_backward
from liger_kernel.transformers import rms_norm as modules
from liger_kernel.transformers.functional import liger_layer_norm
from liger_kernel.transformers.functional import liger_rms_norm
from liger_kernel.transformers.layer_norm import LigerLayerNorm

# Around blocks of threads and of lanes, one element, and more than one dimension before the last.
SHAPES = [(1, 1), (3, 2), (5, 3), (2, 7, 127), (4, 128), (3, 129), (33, 1000), (2, 1, 3, 4097)]


def rms_norm(x, w, eps, offset):
    y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return y if w is None else y * (w + offset)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset, casting", [(0.0, "llama"), (1.0, "gemma"), (0.5, "none")])
def test_rms_norm(device, dtype, shape, offset, casting):
    # The gradient of a row of one element is what rounding leaves of a difference: nothing to compare.
    x = random(*shape, device=device, dtype=dtype, grad=shape[-1] > 1)
    w = random(shape[-1], device=device, dtype=dtype)
    check_function(
        lambda x, w: liger_rms_norm(x, w, 1e-5, offset, casting), lambda x, w: rms_norm(x, w, 1e-5, offset), [x, w],
        dtype, gradient_roundings=4,
    )  # fmt: skip


@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.bfloat16])
def test_rms_norm_with_a_weight_of_another_type(device, dtype, weight_dtype):
    x, w = random(6, 65, device=device, dtype=dtype), random(65, device=device, dtype=weight_dtype)
    y = liger_rms_norm(x, w, 1e-6)
    y.backward(torch.ones_like(y))
    assert (y.dtype, x.grad.dtype, w.grad.dtype) == (dtype, dtype, weight_dtype)
    check_close(y, rms_norm(x.double(), w.double(), 1e-6, 0), dtype)


@pytest.mark.parametrize("needs_x, needs_w, has_w", list(itertools.product([True, False], repeat=3)))
def test_rms_norm_with_frozen_parts(device, needs_x, needs_w, has_w):
    x = random(4, 33, device=device, grad=needs_x)
    w = random(33, device=device, grad=needs_w) if has_w else None
    y = liger_rms_norm(x, w, 1e-6)
    assert y.requires_grad == (needs_x or (has_w and needs_w))
    check_close(y, rms_norm(x.double(), None if w is None else w.double(), 1e-6, 0), torch.float32)
    if y.requires_grad:
        y.sum().backward()
    assert (x.grad is not None) == needs_x
    assert w is None or (w.grad is not None) == needs_w


def test_rms_norm_takes_any_strides(device):
    wide = random(6, 50, device=device)
    # Columns apart, rows apart, dimensions exchanged, a broadcast row.
    for view in (wide[:, ::2], wide[::2], wide.t(), wide[:1].expand(6, 50), wide[:, 3:]):
        leaf = view.detach().requires_grad_()
        w = random(view.shape[-1], device=device)
        check_function(
            lambda x, w: liger_rms_norm(x, w, 1e-6), lambda x, w: rms_norm(x, w, 1e-6, 0), [leaf, w], torch.float32
        )


@pytest.mark.parametrize("rows", [0, 1, 2, 31, 33, 257])
def test_rms_norm_of_few_and_many_rows(device, rows):
    x, w = random(rows, 17, device=device), random(17, device=device)
    check_function(
        lambda x, w: liger_rms_norm(x, w, 1e-6), lambda x, w: rms_norm(x, w, 1e-6, 0), [x, w], torch.float32
    )


def test_rms_norm_does_not_write_to_the_gradient_it_is_given(device):
    x, w = random(4, 32, device=device), random(32, device=device)
    gradient = torch.randn(4, 32, device=device)
    before = gradient.clone()
    LigerRMSNormFunction.apply(x, w, 1e-6, 0.0, "llama", True).backward(gradient)
    assert torch.equal(gradient, before)


def test_llama_casting_has_the_bits_of_hugging_face(device):
    x, w = random(64, 512, device=device, dtype=torch.bfloat16), random(512, device=device, dtype=torch.bfloat16)
    normal = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
    llama = w * normal.to(torch.bfloat16)
    gemma = (normal * (1 + w.float())).to(torch.bfloat16)
    with torch.no_grad():
        ours = liger_rms_norm(x, w, 1e-6), liger_rms_norm(x, w, 1e-6, 1.0, "gemma")
    for found, expected in zip(ours, (llama, gemma)):
        assert (found != expected).float().mean() < 2e-3
        check_close(found, expected, torch.bfloat16, roundings=0.6)


def test_rms_norm_modes():
    x = torch.randn(2, 8)
    for name, code in {"llama": 0, "gemma": 1, "none": -1}.items():
        assert torch.equal(liger_rms_norm(x, None, 1e-6, 0.0, name), liger_rms_norm(x, None, 1e-6, 0.0, code))
    with pytest.raises(AssertionError, match="Invalid casting mode"):
        liger_rms_norm(x, None, 1e-6, 0.0, "other")


@pytest.mark.parametrize(
    "name, offset, casting, first, in_place",
    [
        ("LigerRMSNorm", 0, "llama", 1, True),
        ("LigerRMSNormForGemma", 1, "gemma", 0, True),
        ("LigerRMSNormForGemma2", 1, "gemma", 0, False),
        ("LigerRMSNormForGemma3", 1, "gemma", 0, False),
        ("LigerRMSNormForGemma4", 0, "gemma", 1, False),
        ("LigerRMSNormForMuseGlimmer", 0, "gemma", 1, False),
        ("LigerRMSNormForMuseGlimmerTextCentered", 1, "gemma", 0, False),
        ("LigerRMSNormForOlmo2", 0, "llama", 1, False),
        ("LigerRMSNormForGlm4", 0, "llama", 1, False),
        ("LigerRMSNormForQwen3Next", 1, "gemma", 0, False),
    ],
)
def test_rms_norm_modules(name, offset, casting, first, in_place):
    module = getattr(modules, name)(24, 1e-5)
    assert (module.offset, module.casting_mode, module.in_place) == (offset, casting, in_place)
    assert module.variance_epsilon == 1e-5 and bool((module.weight == first).all())
    x = torch.randn(3, 24)
    check_close(module(x), rms_norm(x.double(), module.weight.double(), 1e-5, offset), torch.float32)
    assert "eps=1e-05" in repr(module)


def test_rms_norm_without_a_weight():
    for module in (
        modules.LigerRMSNorm(24, elementwise_affine=False),
        modules.LigerRMSNormForGemma4(24, with_scale=False),
        modules.LigerRMSNormForMuseGlimmer(with_scale=False),
    ):
        assert module.weight is None and list(module.parameters()) == []
        x = torch.randn(3, 24)
        check_close(module(x), rms_norm(x.double(), None, 1e-6, 0), torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_layer_norm(device, dtype, shape):
    inputs = [random(*s, device=device, dtype=dtype) for s in (shape, shape[-1:], shape[-1:])]
    if shape[-1] <= 2:
        # A row of two is normalised to 1 and -1 whatever it was: gradients of x are rounding alone.
        inputs[0].requires_grad_(False)
    check_function(
        lambda x, w, b: liger_layer_norm(x, w, b, 1e-5), lambda x, w, b: F.layer_norm(x, shape[-1:], w, b, 1e-5),
        inputs, dtype, gradient_roundings=3,
    )  # fmt: skip


@pytest.mark.parametrize("needs", list(itertools.product([True, False], repeat=3)))
def test_layer_norm_with_frozen_parts(device, needs):
    if not any(needs):
        return
    inputs = [random(*s, device=device, grad=grad) for s, grad in zip(((5, 20), (20,), (20,)), needs)]
    check_function(
        lambda x, w, b: LigerLayerNormFunction.apply(x, w, b, 1e-5), lambda x, w, b: F.layer_norm(x, (20,), w, b, 1e-5),
        inputs, torch.float32,
    )  # fmt: skip


def test_layer_norm_of_a_large_mean(device):
    x = random(4, 512, device=device, grad=False) + 4096
    expected = F.layer_norm(x.double(), (512,), None, None, 1e-5)
    w, b = torch.ones(512, device=device), torch.zeros(512, device=device)
    check_close(liger_layer_norm(x, w, b, 1e-5), expected, torch.float32)


def test_layer_norm_module():
    module = LigerLayerNorm(12, bias=True)
    assert module.bias.abs().sum() > 0 and LigerLayerNorm(12).bias.abs().sum() == 0
    x = torch.randn(2, 12)
    expected = F.layer_norm(x.double(), (12,), module.weight.double(), module.bias.double(), 1e-6)
    check_close(module(x), expected, torch.float32)
    with pytest.raises(ValueError, match="last dimension of 11"):
        module(torch.randn(2, 11))
    with pytest.raises(RuntimeError, match="no implementation is called 'other'"):
        LigerLayerNorm(12, impl="other")
    assert LigerLayerNorm(12, impl="triton").impl == "triton"
    module.backend = "triton"
    assert module.impl == "triton"
    with pytest.raises(RuntimeError, match="no implementation is called 'other'"):
        module.backend = "other"
    # Under torch's name too, as programs read it of any norm.
    assert LigerLayerNorm(12, eps=1e-3).eps == 1e-3


def misfits(call, good, bad):
    """That arrays which do not fit are refused, also right after a call of the same form that was good."""
    call(*good)
    with pytest.raises(ValueError):
        call(*bad)


@pytest.mark.parametrize("grad", [True, False])
def test_rms_norm_refuses_a_weight_that_does_not_fit(device, grad):
    x = random(6, 40, device=device, grad=grad)
    w = [random(n, device=device, grad=grad) for n in (40, 24)]
    misfits(lambda w: liger_rms_norm(x, w, 1e-6), w[:1], w[1:])


def test_rms_norm_backward_refuses_what_does_not_fit(device):
    def backward(dy, w, rstd):
        return rms_norm_backward(dy, x, w, rstd, 0.0, "llama")

    x, w = random(6, 40, device=device, grad=False), random(40, device=device, grad=False)
    rstd = torch.ones(6, device=device)
    good = (x, w, rstd)
    misfits(backward, good, (x[:5], w, rstd))
    misfits(backward, good, (x, w[:24], rstd))
    misfits(backward, good, (x, w, rstd[:5]))
    # One number seen six times is six numbers.
    dx = backward(x, w, rstd[:1].expand(6))[0]
    assert torch.equal(dx, backward(*good)[0])
