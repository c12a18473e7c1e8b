"""Neighbourhood attention against its formula over all pairs in float64, and its modules."""

import math

import pytest
import torch

from conftest import check_close
from conftest import check_function
from conftest import random

from liger_kernel.ops.fused_neighborhood_attention import fused_neighborhood_attention_forward
from liger_kernel.transformers.functional import liger_fused_neighborhood_attention
from liger_kernel.transformers.fused_neighborhood_attention import LigerFusedNeighborhoodAttention
from liger_kernel.transformers.fused_neighborhood_attention import LigerFusedNeighborhoodAttentionConfig
from liger_kernel.transformers.fused_neighborhood_attention import LigerFusedNeighborhoodAttentionLayer


def weights(query, key, kernel_size, dilation, scale):
    position = torch.arange(query.shape[-2], device=query.device)
    distance = (position - position[:, None]).abs()
    is_near = (distance <= kernel_size // 2 * dilation) & (distance % dilation == 0)
    return (query @ key.transpose(-1, -2) * scale).masked_fill(~is_near, -torch.inf).softmax(-1)


# Windows of one position, inside the sequence, cut at both ends, and with gaps wider than the sequence.
@pytest.mark.parametrize(
    "shape, kernel_size, dilation",
    [((1, 1, 1, 8), 7, 1), ((2, 3, 17, 16), 1, 1), ((2, 2, 33, 20), 7, 2), ((1, 2, 6, 33), 9, 1), ((1, 1, 5, 4), 5, 9)],
)
@pytest.mark.parametrize("scale", [None, 0.7])
def test_neighborhood_attention(device, dtype, shape, kernel_size, dilation, scale):
    inputs = [random(*shape, device=device, dtype=dtype) for _ in range(3)]
    factor = 1 / math.sqrt(shape[-1]) if scale is None else scale
    check_function(
        lambda q, k, v: liger_fused_neighborhood_attention(q, k, v, kernel_size, dilation, scale),
        lambda q, k, v: weights(q, k, kernel_size, dilation, factor) @ v, inputs, dtype, gradient_roundings=6,
        # A position alone has a weight of 1, whose slope is 0.
        terms={0: lambda q, k, v, g: g * k * v, 1: lambda q, k, v, g: g * q * v},
    )  # fmt: skip


def test_the_raw_function(device, dtype):
    query, key, value = (random(2, 2, 9, 8, device=device, dtype=dtype, grad=False) for _ in range(3))
    output, shares, _ = fused_neighborhood_attention_forward(query, key, value, 3, 2)
    assert torch.equal(output, liger_fused_neighborhood_attention(query, key, value, 3, 2))
    assert shares.dtype == dtype
    check_close(shares, weights(query.double(), key.double(), 3, 2, 8**-0.5), dtype)
    with pytest.raises(NotImplementedError, match="return_lse"):
        fused_neighborhood_attention_forward(query, key, value, return_lse=True)


def test_strides(device):
    """As the module gives them: heads that were moved before positions, and an upstream gradient so, too."""
    inputs = [random(2, 9, 3, 8, device=device) for _ in range(3)]
    def function(attend):
        return lambda *t: attend(*(x.transpose(1, 2) for x in t)).transpose(1, 2)
    check_function(
        function(lambda q, k, v: liger_fused_neighborhood_attention(q, k, v, 5)),
        function(lambda q, k, v: weights(q, k, 5, 1, 8**-0.5) @ v), inputs, torch.float32,
    )  # fmt: skip


@pytest.mark.parametrize("bias", [True, False])
def test_layer(device, bias):
    config = LigerFusedNeighborhoodAttentionConfig(24, 3, 5, 2, bias, layer_norm_eps=1e-3, scale=0.3)
    layer = LigerFusedNeighborhoodAttentionLayer(**config.to_dict()).to(device)
    x = random(2, 11, 24, device=device)
    twin, y = layer.attention, layer(x)
    normed = layer.layer_norm(x)
    heads = [
        project(normed).unflatten(-1, (3, 8)).transpose(1, 2).double()
        for project in (twin.q_proj, twin.k_proj, twin.v_proj)
    ]
    attended = (weights(*heads[:2], 5, 2, 0.3) @ heads[2]).transpose(1, 2).flatten(-2).float()
    check_close(y, x + twin.out_proj(attended), torch.float32)
    y.sum().backward()
    assert all(p.grad is not None for p in (x, *layer.parameters()))


def test_dropout():
    layer = LigerFusedNeighborhoodAttentionLayer(8, 2, dropout=0.5)
    x = random(1, 5, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(
    "arguments, words",
    [((10, 3), "divisible"), ((8, 2, 0), "must be positive"), ((8, 2, 4), "must be odd"), ((8, 2, 3, 0), "dilation")],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match=words):
        LigerFusedNeighborhoodAttention(*arguments)
    with pytest.raises(NotImplementedError, match="Attention mask is not yet supported"):
        LigerFusedNeighborhoodAttentionLayer(8, 2)(torch.ones(1, 2, 8), torch.ones(1, 2))


def test_fullgraph(device):
    module, x = LigerFusedNeighborhoodAttention(8, 2, 3).to(device), random(2, 5, 8, device=device)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    upstream, inputs = torch.randn(2, 5, 8, device=device), [x, *module.parameters()]
    found, expected = (torch.autograd.grad(f(x), inputs, upstream) for f in (compiled, module))
    assert torch.equal(compiled(x), module(x)) and all(map(torch.equal, found, expected))
