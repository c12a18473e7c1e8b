"""Gated feed-forward blocks as one function, against float64, and the modules that call it."""

import types

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import check_function
from conftest import random
from torch import nn

from liger_kernel.ops.mlp import LigerMLPFunction
from liger_kernel.ops.mlp import gemm_swiglu
from liger_kernel.ops.mlp import get_bucket_m
from liger_kernel.ops.mlp import swiglu_backward_dGU
from liger_kernel.ops.mlp import swiglu_backward_dI
from liger_kernel.transformers import LigerFalconH1MLP
from liger_kernel.transformers import LigerMLP


def reference(x, gate, up, down, gate_multiplier=1.0, down_multiplier=1.0):
    return F.linear(F.silu(F.linear(x, gate) * gate_multiplier) * F.linear(x, up), down) * down_multiplier


def weights(dim, hidden, **options):
    size = dim**-0.5
    return [
        random(*shape, scale=scale, **options)
        for shape, scale in (((hidden, dim), size), ((hidden, dim), size), ((dim, hidden), hidden**-0.5))
    ]


# What differs in products of torch's in 16 bits: three of them and the unit between them are rounded.
ROUNDINGS = {"roundings": 6, "gradient_roundings": 12}


@pytest.mark.parametrize("multipliers", [(), (1.7, 0.85)])
@pytest.mark.parametrize("shape", [(2, 5, 16, 24), (1, 16, 8), (3, 37, 96, 264)])
def test_mlp(device, dtype, shape, multipliers):
    *leading, dim, hidden = shape
    inputs = [random(*leading, dim, device=device, dtype=dtype), *weights(dim, hidden, device=device, dtype=dtype)]
    check_function(
        lambda *t: LigerMLPFunction.apply(*t, *multipliers), lambda *t: reference(*t, *multipliers), inputs, dtype,
        **ROUNDINGS,
    )  # fmt: skip


@pytest.mark.parametrize("frozen", range(4))
def test_what_is_frozen_gets_no_gradient(device, frozen):
    inputs = [random(3, 16, device=device), *weights(16, 24, device=device)]
    inputs[frozen].requires_grad_(False)
    check_function(LigerMLPFunction.apply, reference, inputs, torch.float32)


def test_two_backward_passes_and_none(device):
    inputs = [random(3, 16, device=device), *weights(16, 24, device=device)]
    y, upstream = LigerMLPFunction.apply(*inputs), torch.randn(3, 16, device=device)
    first, second = (torch.autograd.grad(y, inputs, upstream, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, first, second))
    with torch.no_grad():
        assert torch.equal(LigerMLPFunction.apply(*inputs), y)


@pytest.mark.parametrize("multipliers", [(1.0, 1.0), (1.7, 0.85)])
def test_raw_functions(device, multipliers):
    gate_multiplier, down_multiplier = multipliers
    x, gate, up, down = random(2, 5, 16, device=device), *weights(16, 24, device=device)
    y, upstream = LigerMLPFunction.apply(x, gate, up, down, *multipliers), torch.randn(2, 5, 16, device=device)
    dx, dgate, dup = torch.autograd.grad(y, (x, gate, up), upstream)
    with torch.no_grad():
        stored, tuning = gemm_swiglu(x, gate, up, gate_multiplier)
        assert stored.shape == (2, 5, 72)
        alone, _ = gemm_swiglu(x, gate, up, gate_multiplier, store_preact=False)
        check_close(alone, stored[..., :24], torch.float32)
        check_close(F.linear(alone, down) * down_multiplier, y, torch.float32)
        swiglu_backward_dGU(upstream, down, stored, tuning, *multipliers)
        check_close(swiglu_backward_dI(gate, up, stored), dx, torch.float32)
        rows = x.flatten(0, 1)
        check_close(stored[..., 24:48].flatten(0, 1).T @ rows, dgate, torch.float32)
        check_close(stored[..., 48:].flatten(0, 1).T @ rows, dup, torch.float32)


def test_buckets():
    found = [get_bucket_m(m) for m in (0, 31, 32, 255, 256, 383, 384, 4095, 4096, 10**6)]
    assert found == [0, 0, 1, 7, 10, 10, 11, 39, 40, 40]


def test_refusals(device):
    x, gate, up, down = random(3, 16, device=device), *weights(16, 24, device=device)
    with pytest.raises(TypeError, match="same dtype"):
        LigerMLPFunction.apply(x.half(), gate, up, down)
    with pytest.raises(TypeError, match="float64"):
        LigerMLPFunction.apply(*(t.double() for t in (x, gate, up, down)))
    with pytest.raises(ValueError, match="multiple of 16 bytes; found 18"):
        LigerMLPFunction.apply(x, *weights(16, 18, device=device))


def config(**options):
    return types.SimpleNamespace(**{"hidden_size": 16, "intermediate_size": 24, "hidden_act": "silu"} | options)


def falcon(**options):
    return config(mlp_bias=False, mlp_multipliers=[1.7, 0.85], **options)


MODULES = pytest.mark.parametrize("kind, config", [(LigerMLP, config()), (LigerFalconH1MLP, falcon())])


@MODULES
def test_modules(device, kind, config):
    module, x = kind(config).to(device), random(2, 3, 16, device=device)
    layers = [module.gate_proj, module.up_proj, module.down_proj]
    multipliers = getattr(config, "mlp_multipliers", ())
    expected = reference(x.double(), *(layer.weight.double() for layer in layers), *multipliers)
    check_close(module(x), expected, torch.float32)
    for act in ("gelu", "relu"):
        with pytest.raises(ValueError, match=act):
            kind(types.SimpleNamespace(**vars(config) | {"hidden_act": act}))


class Doubled(nn.Module):
    """A layer with something of its own, as an adapter is."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return 2 * self.layer(x)


@MODULES
@pytest.mark.parametrize("name", ["gate_proj", "up_proj", "down_proj"])
def test_what_hangs_on_a_layer_is_run(device, kind, config, name):
    module, x = kind(config).to(device), random(2, 3, 16, device=device)
    twin = kind(config).to(device)
    twin.load_state_dict(module.state_dict())
    with torch.no_grad():
        getattr(twin, name).weight.mul_(2)
    getattr(module, name).register_forward_hook(lambda layer, inputs, output: 2 * output)
    check_close(module(x), twin(x), torch.float32)
    getattr(module, name)._forward_hooks.clear()
    setattr(module, name, Doubled(getattr(module, name)))
    check_close(module(x), twin(x), torch.float32)


def test_falcon_refuses_biases():
    with pytest.raises(ValueError, match="does not support bias"):
        LigerFalconH1MLP(types.SimpleNamespace(**vars(falcon()) | {"mlp_bias": True}))


def test_autocast(device):
    module, x = LigerMLP(config()).to(device), random(2, 3, 16, device=device)
    with torch.autocast(device, torch.bfloat16):
        y = module(x)
    y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16 and x.grad.dtype == module.gate_proj.weight.grad.dtype == torch.float32
    plain = [layer.weight.double() for layer in (module.gate_proj, module.up_proj, module.down_proj)]
    check_close(y, reference(x.double(), *plain), torch.bfloat16, roundings=6)


def test_fullgraph(device):
    module, x = LigerMLP(config()).to(device), random(2, 3, 16, device=device)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    upstream = torch.randn(2, 3, 16, device=device)
    inputs = [x, *module.parameters()]
    found, expected = (torch.autograd.grad(f(x), inputs, upstream) for f in (compiled, module))
    assert torch.equal(compiled(x), module(x)) and all(map(torch.equal, found, expected))
