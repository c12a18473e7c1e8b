"""8-bit factors against torch's conversions, and layers against the products of those factors in float64."""

import copy

import pytest
import torch

from torch import nn

from liger_kernel import fp8
from liger_kernel.float8.linear import Float8Linear
from liger_kernel.float8.products import TYPES
from liger_kernel.float8.products import factors

LARGEST = {"e4m3": 448.0, "e5m2": 57344.0}
HAS_PRODUCTS = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9)
DEVICES = ["cpu"] + (["cuda"] if HAS_PRODUCTS else [])


def expected_factor(x, kind, dimension):
    """Values and scales by torch's own conversion; dimension: over which a scale is one, None for all."""
    x = x.float()
    largest = x.abs().amax() if dimension is None else x.abs().amax(dim=dimension, keepdim=True)
    largest = largest.clamp(min=1e-30)
    # A number over a tensor, and on a GPU a tensor over a number, would be a product with a rounded reciprocal.
    limit = torch.full_like(largest, LARGEST[kind])
    scaled = (x * (limit / largest)).clamp(-LARGEST[kind], LARGEST[kind])
    return scaled.to(TYPES[kind]), largest / limit


def matrix(rows, columns, device, dtype, spread=6):
    x = torch.randn(rows, columns) * 2.0 ** torch.randint(-spread, spread, (rows, columns))
    return x.to(device, dtype)


def same(a, b):
    return torch.equal(a.cpu().view(torch.uint8), b.cpu().view(torch.uint8))


@pytest.mark.parametrize("rows, columns", [(16, 16), (48, 4096), (2064, 80), (1024, 1040)])
@pytest.mark.parametrize("kind", TYPES)
def test_one_scale(rows, columns, kind, device, dtype):
    x = matrix(rows, columns, device, dtype)
    one, transposed = factors(x, kind, "tensor", True, True)
    values, scale = expected_factor(x, kind, None)
    assert same(one.values, values) and same(transposed.values, values.t().contiguous())
    assert one.scale.item() == transposed.scale.item() == scale.item()


@pytest.mark.parametrize("rows, columns", [(16, 16), (48, 4096), (2064, 80), (1024, 1040)])
@pytest.mark.parametrize("kind", TYPES)
def test_a_scale_for_each_row(rows, columns, kind, device, dtype):
    x = matrix(rows, columns, device, dtype)
    one, transposed = factors(x, kind, "row", True, True)
    values, scale = expected_factor(x, kind, 1)
    assert same(one.values, values) and torch.equal(one.scale, scale)
    values, scale = expected_factor(x, kind, 0)
    assert same(transposed.values, values.t().contiguous()) and torch.equal(transposed.scale, scale.t())


@pytest.mark.parametrize("kind", TYPES)
def test_every_float_of_16_bits(kind, device):
    """With 448, or 57,344, among them the scale is 1: all roundings of bf16, and what is beyond."""
    x = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    x = x[x.isfinite() & (x.abs() <= LARGEST[kind])]
    x = torch.cat([x, torch.tensor([LARGEST[kind]]), torch.zeros(-(len(x) + 1) % 256)]).bfloat16().view(-1, 256)
    one, _ = factors(x.to(device), kind, "tensor", True, False)
    assert one.scale.item() == 1
    assert same(one.values, x.float().to(TYPES[kind]))


def test_zeros_and_what_is_no_number(device):
    zeros, _ = factors(torch.zeros(16, 32, device=device), "e4m3", "tensor", True, False)
    assert torch.equal(zeros.values.float(), torch.zeros(16, 32, device=device))
    for bad in (float("nan"), float("inf")):
        x = torch.ones(16, 32, device=device)
        x[3, 4] = bad
        found, _ = factors(x, "e4m3", "tensor", True, False)
        assert not (found.values.float() * found.scale)[3, 4].isfinite()


def layer_and_input(device, dtype, bias, rows=48):
    torch.manual_seed(7)
    layer = nn.Sequential(nn.Linear(64, 96, bias=bias)).to(device, dtype)
    return layer, torch.randn(2, rows, 64, device=device, dtype=dtype, requires_grad=True)


# 40 rows, twice, are a multiple of 16; 41 and 1 are not.
@pytest.mark.parametrize("rows", [40, 41, 1])
@pytest.mark.parametrize("scaling, gradients", [("tensor", "e5m2"), ("tensor", "e4m3"), ("row", "e4m3")])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_layer_is_the_product_of_its_factors(rows, scaling, gradients, bias, device):
    dtype = torch.bfloat16
    layer, x = layer_and_input(device, dtype, bias, rows)
    fp8(layer, scaling=scaling, gradients=gradients, emulate=device == "cpu")
    y = layer(x)
    dy = torch.randn_like(y)
    y.backward(dy)

    def factor(t, kind, dimension):
        values, scale = expected_factor(t, kind, None if scaling == "tensor" else dimension)
        return values.double() * scale.double()

    flat, weight, upstream = x.detach().flatten(0, 1), layer[0].weight.detach(), dy.flatten(0, 1)
    expected = factor(flat, "e4m3", 1) @ factor(weight, "e4m3", 1).t()
    if bias:
        expected += layer[0].bias.detach().double()
        torch.testing.assert_close(layer[0].bias.grad.double(), upstream.double().sum(0), rtol=0.02, atol=0.02)
    dx = factor(upstream, gradients, 1) @ factor(weight, "e4m3", 0)
    dw = factor(upstream, gradients, 0).t() @ factor(flat, "e4m3", 0)
    # Rounded once to bf16, with a bias twice; a GPU's forward sums have fewer bits.
    results = ((y.flatten(0, 1), expected, 1 + bias), (x.grad.flatten(0, 1), dx, 1), (layer[0].weight.grad, dw, 1))
    for found, exact, roundings in results:
        assert found.dtype == dtype
        assert (found.double() - exact).abs().max() <= 1.1 * roundings * 2.0**-8 * exact.abs().max()


@pytest.mark.parametrize("device", DEVICES)
def test_frozen_parts_and_no_grad(device):
    layer, x = layer_and_input(device, torch.bfloat16, False)
    fp8(layer, emulate=device == "cpu")
    with torch.no_grad():
        y = layer(x)
    with torch.inference_mode():
        assert torch.equal(layer(x + 0), y)
    layer.requires_grad_(False)
    z = layer(x)
    z.sum().backward()
    assert torch.equal(y, z) and x.grad is not None and layer[0].weight.grad is None
    layer.requires_grad_(True)
    layer(x.detach()).sum().backward()
    assert layer[0].weight.grad is not None


def test_an_input_that_changes_in_place_is_rounded_again():
    layer, x = layer_and_input("cpu", torch.bfloat16, False)
    fp8(layer, emulate=True)
    x = x.detach()
    before = layer(x)
    x.mul_(2)
    torch.testing.assert_close(layer(x), 2 * before)


def test_layers_of_one_input_share_its_factors(monkeypatch):
    from liger_kernel.float8 import linear

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(32, 32), nn.Linear(32, 16)

        def forward(self, x):
            return self.a(x), self.b(x)

    model, calls, made = Two(), [], linear.factors
    fp8(model, emulate=True)
    monkeypatch.setattr(linear, "factors", lambda x, *rest: calls.append(x.shape) or made(x, *rest))
    model(torch.randn(16, 32))
    assert calls.count((16, 32)) == 2 and calls.count((32, 32)) == 1, "the input once, each weight once"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_and_masters(device, dtype):
    layer, x = layer_and_input(device, torch.float32, True)
    fp8(layer, emulate=device == "cpu")
    with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = layer(x)
    assert y.dtype == dtype
    y.sum().backward()
    assert x.grad.dtype == layer[0].weight.grad.dtype == torch.float32


@pytest.mark.parametrize("device", DEVICES)
def test_checkpointing_and_repetition_are_bitwise(device):
    from torch.utils.checkpoint import checkpoint

    layer, x = layer_and_input(device, torch.bfloat16, True)
    fp8(layer, emulate=device == "cpu")
    results = []
    for run in (layer, layer, lambda x: checkpoint(layer, x, use_reentrant=False)):
        x.grad = None
        layer.zero_grad()
        y = run(x)
        y.float().square().sum().backward()
        results.append((y, x.grad, layer[0].weight.grad))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@pytest.mark.parametrize("device", DEVICES)
def test_compiled(device):
    layer, x = layer_and_input(device, torch.bfloat16, False)
    fp8(layer, emulate=device == "cpu")
    y = layer(x)
    y.sum().backward()
    grads = x.grad, layer[0].weight.grad
    x.grad, layer[0].weight.grad = None, None
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)(x.detach().requires_grad_())
    torch.testing.assert_close(compiled, y)
    compiled.sum().backward()
    torch.testing.assert_close(layer[0].weight.grad, grads[1])


def llama():
    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(config).bfloat16()


def test_a_patched_model_trains_like_bf16():
    from liger_kernel.transformers import apply_liger_kernel_to_llama

    base = llama()
    apply_liger_kernel_to_llama(model=base)
    model = copy.deepcopy(base)
    receipt = fp8(model, emulate=True)
    assert len(receipt.converted) == 14 and receipt.kept == {"lm_head": "the head, unless head=True"}
    assert "14 linear layers" in str(receipt) and "1 stay" in str(receipt)
    assert model.state_dict().keys() == base.state_dict().keys()
    tokens = torch.randint(0, 512, (2, 64))
    losses, optimisers = [], [torch.optim.AdamW(m.parameters(), lr=3e-3) for m in (base, model)]
    for _ in range(8):
        for m, optimiser in zip((base, model), optimisers):
            loss = m(input_ids=tokens, labels=tokens).loss
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
    assert losses[-1] < losses[1] - 0.3
    assert max(abs(a - b) for a, b in zip(losses[::2], losses[1::2])) < 0.05


def test_what_stays():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.odd, self.lora_A = nn.Linear(32, 32), nn.Linear(32, 17), nn.Linear(32, 16)
            self.mlp = nn.ModuleDict({"gate": nn.Linear(32, 16), "gate_proj": nn.Linear(32, 16)})

    model = Model()
    receipt = fp8(model, skip="gate_proj", emulate=True)
    assert receipt.converted == ("up",)
    assert set(receipt.kept) == {"odd", "lora_A", "mlp.gate", "mlp.gate_proj"}
    assert type(model.up) is Float8Linear and isinstance(model.up, nn.Linear) and type(model.odd) is nn.Linear
    with pytest.raises(ValueError, match="multiple of 16"):
        fp8(nn.Sequential(nn.Linear(3, 4)), emulate=True)


@pytest.mark.parametrize(
    "options, message", [({"scaling": "block"}, "tensor, row"), ({"gradients": "f16"}, "e4m3, e5m2")]
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        fp8(nn.Sequential(nn.Linear(16, 16)), emulate=True, **options)


def test_refused_devices(monkeypatch):
    with pytest.raises(NotImplementedError, match="8.9 or later; the layer 0 is on 'cpu'.*emulate=True"):
        fp8(nn.Sequential(nn.Linear(16, 16)))
    layer = nn.Linear(16, 16)
    layer.forward = layer.forward
    with pytest.raises(ValueError, match="before them"):
        fp8(nn.Sequential(layer), emulate=True)
