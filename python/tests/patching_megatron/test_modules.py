"""Modules with the signatures of Megatron-Core's."""

import types

import pytest
import torch

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.megatron import LigerMegatronRMSNorm
from liger_kernel.megatron import LigerMegatronSwiGLU


def configuration(**values):
    return types.SimpleNamespace(**{"normalization": "RMSNorm", **values})


@pytest.mark.parametrize("centered", [False, True])
def test_rms_norm(device, dtype, centered):
    norm = LigerMegatronRMSNorm(configuration(layernorm_zero_centered_gamma=centered), 24, eps=1e-3).to(device, dtype)
    start = torch.zeros(24) if centered else torch.ones(24)
    assert torch.equal(norm.weight.detach().cpu().float(), start)
    with torch.no_grad():
        norm.weight.add_(0.1 * torch.randn(24).to(device, dtype))

    def reference(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3) * (weight + centered)

    x = random(5, 2, 24, device=device, dtype=dtype)
    # The cast before the weight is one rounding more.
    check_function(lambda x, _: norm(x), reference, (x, norm.weight), dtype, 2.5, 3)


def test_rms_norm_options():
    for argument in ({"zero_centered_gamma": True}, {"persist_layer_norm": True}, {"normalization": "RMSNorm"}):
        norm = LigerMegatronRMSNorm(configuration(), (8,), **argument)
        assert norm.zero_centered_gamma == argument.get("zero_centered_gamma", False)
    for flag in (True, False):
        assert LigerMegatronRMSNorm(configuration(sequence_parallel=flag), 8).weight.sequence_parallel is flag
    with pytest.raises(ValueError, match="config.normalization='RMSNorm'; got 'LayerNorm'"):
        LigerMegatronRMSNorm(configuration(normalization="LayerNorm"), 8)
    with pytest.raises(ValueError, match="requires normalization='RMSNorm'; got 'L2Norm'"):
        LigerMegatronRMSNorm(configuration(), 8, normalization="L2Norm")
    with pytest.raises(ValueError, match="last dimension"):
        LigerMegatronRMSNorm(configuration(), (2, 8))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", [(7, 10), (3, 2, 10)])
def test_swiglu(device, dtype, shape, in_place):
    x = random(*shape, device=device, dtype=dtype)
    gate, up = x.detach().double().chunk(2, -1)
    y = LigerMegatronSwiGLU(in_place=in_place)(x)
    check_close(y, torch.nn.functional.silu(gate) * up, dtype, 2)
    upstream, before = torch.randn_like(y), x.detach().clone()
    twin = before.double().requires_grad_()
    gate, up = twin.chunk(2, -1)
    (torch.nn.functional.silu(gate) * up).backward(upstream.double())
    y.backward(upstream, retain_graph=True)
    check_close(x.grad, twin.grad, dtype, 3)
    assert torch.equal(x.detach(), before) != in_place
    if in_place:
        with pytest.raises(RuntimeError, match="in_place=True"):
            y.backward(upstream)


def test_swiglu_refuses_other_shapes():
    for shape, words in (((2, 2, 2, 4), "2D .* 3D .* got \\(2, 2, 2, 4\\)"), ((4,), "2D"), ((3, 5), "even")):
        with pytest.raises(ValueError, match=words):
            LigerMegatronSwiGLU()(torch.randn(*shape))


@pytest.mark.parametrize("arguments", [(torch.zeros(4), False, False), (None, True, False), (None, False, True)])
def test_swiglu_leaves_what_it_has_not_to_megatron(arguments, caplog):
    x, calls = torch.randn(2, 4), []
    module = LigerMegatronSwiGLU(lambda *given: calls.append(given) or "megatron")
    with caplog.at_level("INFO", logger="liger_kernel"):
        assert [module(x, *arguments) for _ in range(3)] == ["megatron"] * 3
    assert calls == [(x, *arguments)] * 3 and caplog.text.count("falling back") == 1
    with pytest.raises(RuntimeError, match="fallback_impl, or use apply_liger_kernel_to_megatron"):
        LigerMegatronSwiGLU()(x, *arguments)


def test_cross_entropy_has_megatrons_defaults():
    general = pytest.importorskip("liger_kernel.transformers.vocab_parallel_cross_entropy")
    from liger_kernel.megatron import LigerMegatronCrossEntropy

    logits, target = random(5, 2, 12, scale=4), torch.randint(0, 12, (5, 2))
    loss = LigerMegatronCrossEntropy(label_smoothing=0.1)(logits, target)
    assert isinstance(LigerMegatronCrossEntropy(), general.LigerVocabParallelCrossEntropy)
    # Megatron's factor: a K / (K - 1), and (1 - a) nll - a mean(log p).
    smoothing, rows = 0.1 * 12 / 11, logits.double().log_softmax(-1)
    nll = -rows.gather(-1, target[..., None])[..., 0]
    check_close(loss, (1 - smoothing) * nll - smoothing * rows.mean(-1), torch.float32)
