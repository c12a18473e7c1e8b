"""Manifold-constrained hyper-connections against their formulas in float64."""

import pytest
import torch

from conftest import check_close
from conftest import check_function
from conftest import random
from conftest import twin
from torch import nn

from liger_kernel.ops import mhc as ops
from liger_kernel.transformers import LigerMHC
from liger_kernel.transformers.functional import liger_mhc_apply
from liger_kernel.transformers.functional import liger_mhc_coeffs
from liger_kernel.transformers.functional import liger_mhc_forward
from liger_kernel.transformers.functional import liger_mhc_post_res
from liger_kernel.transformers.functional import liger_mhc_pre

SETTINGS = {"tmax": 6, "rms_eps": 1e-4, "pre_eps": 1e-3, "sinkhorn_eps": 1e-4, "post_mult": 1.5}


def balance(logits, tmax, eps):
    """h_res after each turn."""
    turns = [logits.softmax(-1) + eps]
    turns[0] = turns[0] / (turns[0].sum(-2, keepdim=True) + eps)
    for _ in range(tmax - 1):
        rows = turns[-1] / (turns[-1].sum(-1, keepdim=True) + eps)
        turns.append(rows / (rows.sum(-2, keepdim=True) + eps))
    return turns


def mixed(x, phi, eps):
    rows = x.flatten(-2)
    return (rows @ phi) * torch.rsqrt(rows.square().mean(-1, keepdim=True) + eps)


def coefficients(x, phi, b, alpha_pre, alpha_post, alpha_res, *, tmax, rms_eps, pre_eps, sinkhorn_eps, post_mult):
    n, mix = x.shape[-2], mixed(x, phi, rms_eps)
    pre, post, res = mix.split([n, n, n * n], -1)
    logits = (res * alpha_res + b[2 * n :]).unflatten(-1, (n, n))
    return (
        torch.sigmoid(pre * alpha_pre + b[:n]) + pre_eps,
        torch.sigmoid(post * alpha_post + b[n : 2 * n]) * post_mult, balance(logits, tmax, sinkhorn_eps)[-1],
    )  # fmt: skip


def next_streams(x, f, h_post, h_res):
    return h_res @ x + h_post[..., None] * f[..., None, :]


def parameters(n, columns, device, dtype=torch.float32, alphas=torch.float32):
    """phi, b and the alphas."""
    logits = n * (n + 2)
    return [
        random(n * columns, logits, device=device, dtype=dtype, scale=(n * columns) ** -0.5),
        random(logits, device=device, dtype=alphas),
        *(torch.randn((), device=device, dtype=alphas, requires_grad=True) for _ in range(3)),
    ]  # fmt: skip


def check_gradients(inputs, twins, dtype):
    for i, (found, expected) in enumerate(zip(inputs, twins)):
        assert found.grad.dtype == found.dtype
        terms = [expected.grad.new_tensor(1.0)] if expected.grad.numel() < 100 else None
        check_close(found.grad, expected.grad, max(dtype, found.dtype, key=bits), 4, f"gradient {i}", terms)


def bits(dtype):
    return torch.finfo(dtype).eps


@pytest.mark.parametrize("shape", [(2, 4, 2, 32), (1, 65, 4, 33), (3, 1, 8), (2, 3, 16)])
@pytest.mark.parametrize("phi_dtype", [torch.float16, torch.float32])
def test_coefficients(device, dtype, phi_dtype, shape):
    inputs = [random(*shape, device=device, dtype=dtype), *parameters(*shape[-2:], device, phi_dtype)]
    twins = [twin(t) for t in inputs]
    found = liger_mhc_coeffs(*inputs, allow_fp32=True, **SETTINGS)
    expected = coefficients(*twins, **SETTINGS)
    for a, b in zip(found, expected):
        assert a.dtype == torch.float32
        # Arithmetic is in fp32 whatever the storage.
        check_close(a, b, torch.float32)
    upstream = [torch.randn_like(a) for a in found]
    torch.autograd.backward(found, upstream)
    torch.autograd.backward(expected, [u.double() for u in upstream])
    check_gradients(inputs, twins, torch.float32)


@pytest.mark.parametrize("alphas", [torch.bfloat16, torch.float16])
def test_parameters_in_16_bits(device, alphas):
    inputs = [random(5, 2, 8, device=device), *parameters(2, 8, device, alphas=alphas)]
    twins = [twin(t) for t in inputs]
    for function, tensors, options in ((liger_mhc_coeffs, inputs, {"allow_fp32": True}), (coefficients, twins, {})):
        sum(h.square().sum() for h in function(*tensors, **options, **SETTINGS)).backward()
    check_gradients(inputs, twins, torch.float32)


@pytest.mark.parametrize("used", range(3))
def test_unused_coefficients(device, used):
    inputs = [random(3, 2, 8, device=device), *parameters(2, 8, device)]
    twins = [twin(t) for t in inputs]
    liger_mhc_coeffs(*inputs, allow_fp32=True, **SETTINGS)[used].square().sum().backward()
    coefficients(*twins, **SETTINGS)[used].square().sum().backward()
    for a, b in zip(inputs, twins):
        check_close(a.grad, torch.zeros_like(a).double() if b.grad is None else b.grad, torch.float32)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 1)])
def test_what_is_frozen_gets_no_gradient(device, frozen):
    inputs = [random(3, 2, 8, device=device), *parameters(2, 8, device)]
    for i in frozen:
        inputs[i].requires_grad_(False)
    sum(h.sum() for h in liger_mhc_coeffs(*inputs, allow_fp32=True)).backward()
    assert [t.grad is None for t in inputs] == [i in frozen for i in range(6)]


def test_fp32_streams_are_asked_for(device):
    inputs = [random(3, 2, 8, device=device), *parameters(2, 8, device)]
    with pytest.raises(AssertionError, match="allow_fp32"):
        liger_mhc_coeffs(*inputs)
    with pytest.raises(AssertionError, match="phi must be"):
        liger_mhc_coeffs(inputs[0], inputs[1].T, *inputs[2:], allow_fp32=True)
    with pytest.raises(AssertionError, match="b must be"):
        liger_mhc_coeffs(*inputs[:2], inputs[2][1:], *inputs[3:], allow_fp32=True)


@pytest.mark.parametrize("shape", [(2, 4, 2, 32), (5, 4, 33), (1, 1, 1, 1), (2, 16, 130)])
def test_streams(device, dtype, shape):
    *leading, n, columns = shape
    x, f = random(*shape, device=device, dtype=dtype), random(*leading, columns, device=device, dtype=dtype)
    h_pre, h_post, h_res = (random(*leading, *size, device=device) for size in ((n,), (n,), (n, n)))
    check_function(liger_mhc_pre, lambda x, h: (h[..., None] * x).sum(-2), [x, h_pre], dtype)
    x.grad = None
    check_function(liger_mhc_post_res, next_streams, [x, f, h_post, h_res], dtype)
    after, before = liger_mhc_apply(x, f, h_pre, h_post, h_res, return_x_in=True)
    assert torch.equal(after, liger_mhc_apply(x, f, h_pre, h_post, h_res))
    assert torch.equal(after, liger_mhc_post_res(x, f, h_post, h_res)) and torch.equal(before, liger_mhc_pre(x, h_pre))


def test_a_layer_of_another_type(device):
    """Streams in bf16, the layer's result in fp32, coefficients in 16 bits, and views of any strides."""
    x = random(3, 8, 2, device=device, dtype=torch.bfloat16, grad=False).transpose(-1, -2).requires_grad_()
    weights = [random(3, *size, device=device, dtype=torch.float16) for size in ((2,), (2, 2))]
    inputs = [x, random(3, 8, device=device), *weights]
    twins = [twin(t) for t in inputs]
    found, expected = liger_mhc_post_res(*inputs), next_streams(*twins)
    check_close(found, expected, torch.bfloat16)
    upstream = torch.randn_like(found)
    found.backward(upstream)
    expected.backward(upstream.double())
    check_gradients(inputs, twins, torch.float32)


def test_raw_functions(device):
    settings = {name: SETTINGS[name] for name in ("tmax", "sinkhorn_eps")}
    x, phi, b, *alphas = [t.detach() for t in (random(5, 3, 8, device=device), *parameters(3, 8, device))]
    rows = x.flatten(1)
    mix, invr = ops.mhc_mm_norm_fwd(rows, phi, 1e-4)
    check_close(mix, mixed(x.double(), phi.double(), 1e-4), torch.float32)
    check_close(invr, torch.rsqrt(rows.double().square().mean(-1) + 1e-4), torch.float32)
    of_split = {name: value for name, value in SETTINGS.items() if name != "rms_eps"}
    *found, history = ops.mhc_split_sinkhorn_fwd(mix, b, *alphas, return_hist=True, **of_split)
    for a, c in zip(found, coefficients(*(t.double() for t in (x, phi, b, *alphas)), **SETTINGS)):
        check_close(a, c, torch.float32)
    logits = (mix[:, 6:].double() * alphas[2].double() + b[6:].double()).unflatten(-1, (3, 3)).requires_grad_()
    turns = balance(logits, **{"tmax": 6, "eps": 1e-4})
    check_close(history, torch.stack(turns, 1), torch.float32)
    grad = torch.randn(5, 3, 3, device=device)
    turns[-1].backward(grad.double())
    for hist in (history, history.contiguous(), None):
        dlogits = ops.mhc_sinkhorn_bwd(mix, b, alphas[2], grad, hist=hist, **settings)
        check_close(dlogits, logits.grad, torch.float32, terms=[grad])
    out = torch.empty_like(dlogits)
    assert ops.mhc_sinkhorn_bwd(mix, b, alphas[2], grad, out_grad_logits=out, **settings) is out
    assert torch.equal(out, dlogits)
    dmix = torch.randn_like(mix)
    leaves = [twin(t.requires_grad_()) for t in (rows, phi)]
    mixed(leaves[0][:, None], leaves[1], 1e-4).backward(dmix.double())
    for a, leaf in zip(ops.mhc_mm_norm_bwd(rows.detach(), phi.detach(), mix, invr, dmix), leaves):
        check_close(a, leaf.grad, torch.float32)


def test_raw_functions_of_streams(device, dtype):
    """Their results are fp32, whatever the streams are."""
    x, f = random(5, 3, 8, device=device, dtype=dtype, grad=False), random(5, 8, device=device, dtype=dtype, grad=False)
    h_pre, h_post, h_res = (torch.randn(5, *size, device=device) for size in ((3,), (3,), (3, 3)))
    inputs = [t.double().requires_grad_() for t in (x, f, h_pre, h_post, h_res)]
    before, after = torch.randn(5, 8, device=device), torch.randn(5, 3, 8, device=device)
    expected = (inputs[2][..., None] * inputs[0]).sum(-2)
    check_close(ops.mhc_pre_fwd(x, h_pre), expected, torch.float32)
    gradients = torch.autograd.grad(expected, (inputs[0], inputs[2]), before.double())
    for a, c in zip(ops.mhc_pre_bwd(x, h_pre, before), gradients):
        check_close(a, c, torch.float32)
    expected = next_streams(*inputs[:2], *inputs[3:])
    check_close(ops.mhc_post_res_fwd(x, f, h_post, h_res), expected, torch.float32)
    gradients = torch.autograd.grad(expected, (*inputs[:2], *inputs[3:]), after.double())
    for a, c in zip(ops.mhc_post_res_bwd(x, f, h_post, h_res, after), gradients):
        assert a.dtype == torch.float32
        check_close(a, c, torch.float32)


def test_module(device, dtype):
    layer = nn.Linear(16, 16, bias=False).to(device, dtype)
    module = LigerMHC(layer, hc=4, c=16, phi_dtype=dtype, allow_fp32=True, **SETTINGS).to(device)
    x = random(2, 3, 4, 16, device=device, dtype=dtype)
    learned = [module.phi, module.b, module.alpha_pre, module.alpha_post, module.alpha_res]
    y, (h_pre, h_post, h_res) = liger_mhc_forward(x, layer, *learned, allow_fp32=True, **SETTINGS, return_coeffs=True)
    assert torch.equal(module(x), y)
    for a, b in zip((h_pre, h_post, h_res), coefficients(*(twin(t) for t in (x, *learned)), **SETTINGS)):
        check_close(a, b, torch.float32)
    before = (h_pre[..., None].double() * x.double()).sum(-2)
    expected = next_streams(x.double(), before @ layer.weight.double().T, h_post.double(), h_res.double())
    check_close(y, expected, dtype, 6)
    y.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in (x, *module.parameters()))
    with pytest.raises(ValueError, match="Expected x.shape"):
        module(x[..., :3, :])


def test_a_module_without_parameters_and_many_streams(device):
    with pytest.warns(UserWarning, match="hc=17"):
        module = LigerMHC(nn.Identity(), hc=17, c=4, allow_fp32=True).to(device)
    x = random(2, 17, 4, device=device)
    module(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_fullgraph(device):
    module = LigerMHC(nn.Linear(8, 8), hc=2, c=8, phi_dtype=torch.float32, allow_fp32=True).to(device)
    x, upstream = random(3, 2, 8, device=device), torch.randn(3, 2, 8, device=device)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    inputs = [x, *module.parameters()]
    found, expected = (torch.autograd.grad(f(x), inputs, upstream) for f in (compiled, module))
    assert torch.equal(compiled(x), module(x)) and all(map(torch.equal, found, expected))
