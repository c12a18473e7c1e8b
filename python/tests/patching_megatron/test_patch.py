"""What `apply_liger_kernel_to_megatron` replaces, in a package of Megatron-Core's layout."""

import importlib
import logging
import sys
import types

import pytest
import standing
import torch

from conftest import check_close

from liger_kernel.megatron import LigerMegatronRMSNorm
from liger_kernel.megatron import apply_liger_kernel_to_megatron
from liger_kernel.megatron import monkey_patch

SWITCHES = ("rms_norm", "cross_entropy", "swiglu")


def only(switch):
    return {name: name == switch for name in SWITCHES}


class Losses:
    """Stands for the cross entropy: what it was made and called with."""

    made, called = [], []

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = label_smoothing
        self.made.append(label_smoothing)

    def __call__(self, logits, target, tp_group=None):
        self.called.append((self.label_smoothing, tp_group))
        return "ours"


@pytest.fixture
def megatron(tmp_path, monkeypatch):
    """Imports a module of the package by its path below `megatron.core`."""
    standing.write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    losses = types.ModuleType("liger_kernel.megatron.cross_entropy")
    losses.LigerMegatronCrossEntropy = type("Recorded", (Losses,), {"made": [], "called": []})
    monkeypatch.setitem(sys.modules, losses.__name__, losses)

    def load(path):
        return importlib.import_module(f"megatron.core.{path}")

    load.losses = losses.LigerMegatronCrossEntropy
    yield load
    for name in [name for name in sys.modules if name.split(".")[0] == "megatron"]:
        del sys.modules[name]


def silu_product(x):
    gate, up = x.chunk(2, -1)
    return torch.nn.functional.silu(gate) * up


def test_norms(megatron):
    backends, block = megatron("models.backends"), megatron("transformer.transformer_block")
    apply_liger_kernel_to_megatron()
    provider = backends.LocalSpecProvider()
    assert provider.layer_norm(rms_norm=True, for_qk=True) is provider.layer_norm(True) is LigerMegatronRMSNorm
    assert provider.layer_norm(for_qk=True) == ("megatron", False, True)
    rms = types.SimpleNamespace(normalization="RMSNorm")
    made = block.LayerNormImpl(config=rms, hidden_size=8, eps=1e-3)
    assert isinstance(made, LigerMegatronRMSNorm) and made.eps == 1e-3
    assert block.LayerNormImpl(types.SimpleNamespace(normalization="LayerNorm"), 8) == ("megatron", 8)


def test_a_final_norm_of_others_stays(megatron):
    block = megatron("transformer.transformer_block")
    block.LayerNormImpl = other = object()
    apply_liger_kernel_to_megatron()
    assert block.LayerNormImpl is other


def test_swiglu(megatron):
    fused = megatron("fusions.fused_bias_swiglu")
    # A name bound before the patch.
    activation = fused.bias_swiglu_impl
    apply_liger_kernel_to_megatron(**only("swiglu"))
    x = torch.randn(3, 2, 10, requires_grad=True)
    y = activation(x, None)
    check_close(y, silu_product(x.double()), torch.float32)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    (expected,) = torch.autograd.grad(silu_product(x).sum(), x)
    check_close(gradient, expected, torch.float32)
    assert activation(x, None, True) == ("megatron", True, False)
    assert activation(x, None, False, True) == ("megatron", False, True)
    assert activation(x, torch.zeros(10)) == ("megatron", "bias")


@pytest.mark.parametrize("is_fused", [True, False])
def test_cross_entropy_reaches_names_bound_before(megatron, is_fused):
    caller = megatron("models.common.language_module.language_module")
    apply_liger_kernel_to_megatron(**only("cross_entropy"))
    assert caller.loss(None, None, is_fused) == "ours"


def test_cross_entropy_passes_its_arguments_on(megatron):
    fused, plain = megatron("fusions.fused_cross_entropy"), megatron("tensor_parallel.cross_entropy")
    apply_liger_kernel_to_megatron(**only("cross_entropy"))
    fused.fused_vocab_parallel_cross_entropy(None, None, "group")
    for options in ({}, {"label_smoothing": 0.1}, {"label_smoothing": 0.1, "tp_group": "group"}):
        plain.vocab_parallel_cross_entropy(None, None, **options)
    assert megatron.losses.called == [(0.0, "group"), (0.0, None), (0.1, None), (0.1, "group")]
    assert megatron.losses.made == [0.0, 0.0, 0.1]


def test_a_caller_with_a_function_of_its_own_is_left_and_named(megatron, caplog):
    caller = megatron("models.common.language_module.language_module")
    caller.fused_vocab_parallel_cross_entropy = other = object()
    with caplog.at_level(logging.WARNING):
        apply_liger_kernel_to_megatron(**only("cross_entropy"))
    assert caller.fused_vocab_parallel_cross_entropy is other
    assert "Could not find where this Megatron version calls" in caplog.text


def values():
    paths = (
        monkey_patch.LAYER_NORM, monkey_patch.FINAL_NORM, monkey_patch.FUSED_CROSS_ENTROPY, monkey_patch.CROSS_ENTROPY,
        monkey_patch.SWIGLU,
    )  # fmt: skip
    return {path: monkey_patch.Place.find(path).value for path in paths}


def test_a_second_call_changes_nothing(megatron):
    before = values()
    apply_liger_kernel_to_megatron(True, True, True)
    first = values()
    apply_liger_kernel_to_megatron(True, True, True)
    assert values() == first
    assert all(first[path].__liger_patched__ and first[path].__wrapped__ is before[path] for path in before)


def test_only_what_is_asked_for(megatron):
    before = values()
    apply_liger_kernel_to_megatron(**only(None))
    assert values() == before
    apply_liger_kernel_to_megatron(**only("swiglu"))
    assert [path for path, value in values().items() if value is not before[path]] == [monkey_patch.SWIGLU]


@pytest.mark.parametrize("switch", SWITCHES)
def test_without_megatron(switch, monkeypatch):
    monkeypatch.setitem(sys.modules, "megatron", None)
    with pytest.raises(ImportError, match=f"{switch}=True\\) requires megatron-core"):
        apply_liger_kernel_to_megatron(**only(switch))


@pytest.mark.parametrize(
    "switch, module, name",
    [
        ("rms_norm", "models.backends", "LocalSpecProvider"),
        ("rms_norm", "transformer.transformer_block", "LayerNormImpl"),
        ("cross_entropy", "fusions.fused_cross_entropy", "fused_vocab_parallel_cross_entropy"),
        ("cross_entropy", "tensor_parallel.cross_entropy", "vocab_parallel_cross_entropy"),
        ("swiglu", "fusions.fused_bias_swiglu", "SwiGLUFunction"),
    ],
)
def test_another_layout_is_refused_before_anything_is_replaced(megatron, switch, module, name):
    before = values()
    home = megatron(module)
    lost = home.__dict__.pop(name)
    with pytest.raises(ImportError, match="symbol path may have changed"):
        apply_liger_kernel_to_megatron(True, True, True)
    setattr(home, name, lost)
    assert values() == before
