"""Gated units, softmax and embedding against float64."""

import types

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import check_function
from conftest import random

import liger_kernel.transformers

from liger_kernel.ops import LigerFusedGateUpSiLUMulFunction
from liger_kernel.ops import LigerGELUMulFunction
from liger_kernel.ops import LigerSiLUMulFunction
from liger_kernel.ops.swiglu import swiglu_backward
from liger_kernel.transformers import geglu
from liger_kernel.transformers import swiglu
from liger_kernel.transformers.experimental.embedding import LigerEmbedding
from liger_kernel.transformers.softmax import LigerSoftmax

SHAPES = [(1, 1), (3, 2), (2, 5, 127), (4, 128), (3, 129), (17, 1001)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gate, down", [(1.0, 1.0), (0.5, 3.0)])
def test_swiglu(device, dtype, shape, gate, down):
    inputs = [random(*shape, device=device, dtype=dtype, scale=3) for _ in range(2)]
    check_function(
        lambda a, b: LigerSiLUMulFunction.apply(a, b, gate, down), lambda a, b: F.silu(a * gate) * b * down, inputs,
        dtype,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 2), (2, 5, 6), (3, 258), (4, 4096)])
def test_swiglu_of_halves(device, dtype, shape):
    def reference(y):
        a, b = y.chunk(2, -1)
        return F.silu(a) * b

    y = random(*shape, device=device, dtype=dtype, scale=3)
    check_function(LigerFusedGateUpSiLUMulFunction.apply, reference, [y], dtype)


def test_swiglu_of_halves_in_place():
    y = random(3, 8)
    data = y.detach().clone()
    out = LigerFusedGateUpSiLUMulFunction.apply(y, True)
    out.backward(torch.ones_like(out), retain_graph=True)
    assert torch.equal(y.detach(), y.grad) and not torch.equal(y.detach(), data)
    with pytest.raises(RuntimeError, match="second backward"):
        out.backward(torch.ones_like(out))
    with pytest.raises(ValueError, match="even"):
        LigerFusedGateUpSiLUMulFunction.apply(torch.randn(2, 3))


@pytest.mark.parametrize("shape", SHAPES)
def test_geglu(device, dtype, shape):
    inputs = [random(*shape, device=device, dtype=dtype, scale=3) for _ in range(2)]
    check_function(LigerGELUMulFunction.apply, lambda a, b: F.gelu(a, approximate="tanh") * b, inputs, dtype)


@pytest.mark.parametrize("function", [LigerSiLUMulFunction, LigerGELUMulFunction])
def test_gated_units_leave_their_inputs_and_allow_a_second_pass(device, function):
    a, b = random(4, 9, device=device), random(4, 9, device=device)
    before = a.detach().clone(), b.detach().clone()
    c = function.apply(a, b)
    c.backward(torch.ones_like(c), retain_graph=True)
    first = a.grad.clone()
    c.backward(torch.ones_like(c))
    assert torch.equal(a.grad, 2 * first)
    assert torch.equal(a, before[0]) and torch.equal(b, before[1])


def test_gated_units_take_any_strides(device):
    wide = random(8, 20, device=device, grad=False)
    a, b = wide.t().requires_grad_(), wide[:, ::2].reshape(10, 8).t().expand(8, 10)
    b = random(20, 8, device=device) if b.shape != a.shape else b
    check_function(LigerSiLUMulFunction.apply, lambda a, b: F.silu(a) * b, [a, b], torch.float32)


def configuration(**changes):
    values = dict(hidden_size=16, intermediate_size=24, hidden_act="silu", hidden_activation="silu", mlp_bias=True)
    return types.SimpleNamespace(**(values | dict(mlp_multipliers=(0.5, 2.0), num_hidden_layers=2) | changes))


@pytest.mark.parametrize(
    "name", ["LigerSwiGLUMLP", "LigerQwen3MoeSwiGLUMLP", "LigerHunyuanV1SwiGLUMLP", "LigerSwiGLUMLPForMuseGlimmer"]
)
def test_swiglu_modules(name):
    module = getattr(swiglu, name)(configuration()).double().float()
    x = random(3, 16)
    expected = (F.silu(x @ module.gate_proj.weight.T) * (x @ module.up_proj.weight.T)) @ module.down_proj.weight.T
    check_close(module(x), expected, torch.float32)
    with pytest.raises(ValueError, match="gelu not supported"):
        getattr(swiglu, name)(configuration(hidden_act="gelu", hidden_activation="gelu"))


def test_swiglu_modules_of_other_layouts():
    x = random(3, 16)
    module = swiglu.LigerBlockSparseTop2MLP(configuration())
    expected = module.w2(F.silu(module.w1(x)) * module.w3(x))
    check_close(module(x), expected, torch.float32)
    module = swiglu.LigerPhi3SwiGLUMLP(configuration())
    gate, up = module.gate_up_proj(x).chunk(2, -1)
    check_close(module(x), module.down_proj(F.silu(gate) * up), torch.float32)
    module = swiglu.LigerFalconH1SwiGLUMLP(configuration())
    expected = module.down_proj(F.silu(module.gate_proj(x) * 0.5) * module.up_proj(x)) * 2
    check_close(module(x), expected, torch.float32)
    assert swiglu.LigerSwiGLUMLP(configuration(), intermediate_size=8).up_proj.out_features == 8


def test_geglu_modules():
    x = random(3, 16)
    module = geglu.LigerGEGLUMLP(configuration(hidden_act="anything"))
    expected = module.down_proj(F.gelu(module.gate_proj(x), approximate="tanh") * module.up_proj(x))
    check_close(module(x), expected, torch.float32)
    wide = configuration(num_kv_shared_layers=1, use_double_wide_mlp=True)
    assert geglu.LigerGEGLUMLPForGemma4(wide, 0).up_proj.out_features == 24
    assert geglu.LigerGEGLUMLPForGemma4(wide, 1).up_proj.out_features == 48


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 5, 127), (4, 128), (3, 129), (2, 4097)])
def test_softmax(device, dtype, shape):
    # The gradient subtracts numbers near each other: it takes the rounding of y.
    check_function(
        LigerSoftmax(), lambda x: F.softmax(x, -1), [random(*shape, device=device, dtype=dtype, scale=4)], dtype,
        gradient_roundings=4,
    )  # fmt: skip


def test_softmax_of_masked_rows(device):
    x = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]], device=device)
    assert torch.equal(LigerSoftmax()(x).cpu(), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_embedding(device, dtype, index_dtype):
    table = random(11, 33, device=device, dtype=dtype)
    module = LigerEmbedding(11, 33).to(device=device, dtype=dtype)
    module.weight.data.copy_(table.data)
    ids = torch.randint(0, 11, (3, 50), device=device, dtype=index_dtype)
    y = module(ids)
    assert torch.equal(y, table[ids.long()])
    upstream = torch.randn_like(y)
    y.backward(upstream)
    expected = torch.zeros(11, 33, dtype=torch.float64, device=device)
    expected.index_add_(0, ids.long().flatten(), upstream.double().reshape(-1, 33))
    check_close(module.weight.grad, expected, dtype)


@pytest.mark.parametrize("padding_idx", [3, -8])
def test_padding_of_an_embedding(device, padding_idx):
    """As torch's, and zeros also where a checkpoint has put other numbers into its row."""
    module, plain = LigerEmbedding(11, 4, padding_idx), torch.nn.Embedding(11, 4, padding_idx)
    assert not module.weight[3].any() and module.padding_idx == plain.padding_idx == 3
    module.load_state_dict(plain.state_dict())
    ids = torch.tensor([[3, 1, 3], [0, 3, 10]], device=device)
    module, plain = module.to(device), plain.to(device)
    upstream = torch.randn(2, 3, 4, device=device)
    for each in (module, plain):
        each(ids).backward(upstream)
    assert torch.equal(module(ids), plain(ids))
    assert torch.equal(module.weight.grad, plain.weight.grad) and not module.weight.grad[3].any()
    module.weight.data[3] = 1
    assert not module(ids)[ids == 3].any()
    with pytest.raises(ValueError, match="padding_idx is 11; give a row of the table of 11"):
        LigerEmbedding(11, 4, 11)


def test_embedding_refuses_ids_outside_the_table():
    with pytest.raises((AssertionError, IndexError), match="outside the table"):
        LigerEmbedding(5, 4)(torch.tensor([1, 5]))


def test_swiglu_backward_refuses_what_does_not_fit(device):
    a, b, dc = (random(6, 40, device=device, grad=False) for _ in range(3))
    swiglu_backward(a, b, dc)
    for misfit in ((a, b[:5], dc), (a, b, dc[:5]), (a, b.half(), dc)):
        with pytest.raises(ValueError):
            swiglu_backward(*misfit)


@pytest.mark.parametrize(
    "plain, tiled", [("LigerSwiGLUMLP", "LigerTiledSwiGLUMLP"), ("LigerGEGLUMLP", "LigerTiledGEGLUMLP")]
)
@pytest.mark.parametrize("shards, pieces", [(None, 3), (1, 1), (2, 2), (50, 37)])
def test_tiled_mlp(device, plain, tiled, shards, pieces):
    config = types.SimpleNamespace(hidden_size=16, intermediate_size=24, hidden_act="silu")
    whole = getattr(liger_kernel.transformers, plain)(config).to(device)
    parts = getattr(liger_kernel.transformers, tiled)(config, shards).to(device)
    parts.load_state_dict(whole.state_dict())
    seen = []
    parts.gate_proj.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[-2]))
    x = random(2, 37, 16, device=device)
    twin = x.detach().clone().requires_grad_()
    upstream = torch.randn(2, 37, 16, device=device)
    found, expected = parts(x), whole(twin)
    # A whole number of rows each, as many as `chunk` makes of them.
    assert sum(seen) == 37 and len(seen) == pieces and max(seen) - min(seen[:-1] or seen) == 0
    found.backward(upstream)
    expected.backward(upstream)
    assert sum(seen) == 2 * 37, "the backward pass computes each shard again"
    check_close(found, expected, torch.float32)
    check_close(x.grad, twin.grad, torch.float32)
    for a, b in zip(parts.parameters(), whole.parameters()):
        check_close(a.grad, b.grad, torch.float32)
    with torch.no_grad():
        check_close(parts(x), expected, torch.float32)
        assert parts(x[:, :0]).shape == (2, 0, 16)
    with pytest.raises(ValueError, match="num_shards"):
        getattr(liger_kernel.transformers, tiled)(config, 0).to(device)(x)
