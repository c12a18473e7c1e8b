"""Weights whose values are not in their memory: quantised subclasses, wrappers of a user's, sparse layouts."""

import copy

import pytest
import torch
import torch.nn as nn

from liger_kernel.ops.rms_norm import rms_norm
from liger_kernel.ops.utils import has_memory
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy
from liger_kernel.transformers.functional import liger_layer_norm
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.test_heads import lora
from patching.test_heads import same_training
from patching.test_loss_forward import fused_calls  # noqa: F401

pytestmark = pytest.mark.smoke


class Scaled(torch.Tensor):
    """Eight-bit codes with a scale a row, which operations turn into numbers."""

    @staticmethod
    def __new__(cls, codes, scale):
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=scale.dtype, device=codes.device)

    def __init__(self, codes, scale):
        self.codes, self.scale = codes, scale

    @classmethod
    def of(cls, weight):
        scale = weight.detach().abs().amax(-1, keepdim=True).clamp_min(1e-6) / 127
        return cls((weight.detach() / scale).round().to(torch.int8), scale)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        aten = torch.ops.aten
        if function in (aten.detach.default, aten.alias.default, aten.clone.default):
            return cls(args[0].codes, args[0].scale)
        return function(*(a.codes * a.scale if isinstance(a, cls) else a for a in args), **(kwargs or {}))


class Named(torch.Tensor):
    """A subclass that is as any tensor; its values are in its memory."""


class Negated(torch.Tensor):
    """A subclass with memory, in which the numbers have another sign."""

    @staticmethod
    def __new__(cls, weight):
        return torch.Tensor._make_subclass(cls, -weight.detach())

    def __init__(self, weight):
        self.numbers = weight.detach()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return args[0]
        return function(*(a.numbers if isinstance(a, cls) else a for a in args), **(kwargs or {}))


def frozen(tensor):
    return nn.Parameter(tensor, requires_grad=False)


KINDS = {"codes": Scaled.of, "negated": Negated, "sparse": lambda weight: weight.detach().to_sparse_csr()}


def head_with(kind, family="llama"):
    model = tiny.text_model(family, tie_word_embeddings=False)
    model.lm_head.weight = frozen(KINDS[kind](model.lm_head.weight))
    return model


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("first", ["weight", "patch"])
@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_of_such_a_weight(kind, family, first, fused_calls):  # noqa: F811
    plain = head_with(kind, family)
    patched = head_with(kind, family) if first == "weight" else tiny.text_model(family, tie_word_embeddings=False)
    receipt = _apply_liger_kernel_to_instance(patched, fused_linear_cross_entropy=True, cross_entropy=False)
    if first == "weight":
        assert "cannot be taken apart" in receipt.of("fused_linear_cross_entropy")[0].reason
    else:
        patched.lm_head.weight = frozen(KINDS[kind](patched.lm_head.weight))
    same_training(plain, patched, tiny.text_batch())
    assert not fused_calls


@pytest.mark.parametrize("part", ["base", "lora_B", "modules_to_save"])
def test_an_adapted_head_of_such_a_weight(part, fused_calls):  # noqa: F811
    peft = pytest.importorskip("peft")
    models = []
    for _ in range(2):
        model = tiny.text_model("llama", tie_word_embeddings=False)
        if part == "modules_to_save":
            model = lora(model, modules_to_save=["lm_head"])
            layer = model.get_base_model().lm_head.modules_to_save["default"]
        else:
            torch.manual_seed(3)
            config = peft.LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
            model = peft.get_peft_model(model, config)
            head = model.get_base_model().lm_head
            layer = head.base_layer if part == "base" else head.lora_B["default"]
        layer.weight = frozen(Scaled.of(layer.weight))
        models.append(model.train())
    _apply_liger_kernel_to_instance(models[1].get_base_model())
    same_training(*models, tiny.text_batch())
    assert not fused_calls


def test_a_subclass_with_memory_is_read(fused_calls):  # noqa: F811
    plain = tiny.text_model("llama", tie_word_embeddings=False)
    patched = copy.deepcopy(plain)
    patched.lm_head.weight = nn.Parameter(patched.lm_head.weight.detach().as_subclass(Named))
    apply_liger_kernel_to_llama(model=patched)
    same_training(plain, patched, tiny.text_batch())
    assert len(fused_calls) == 1


def test_a_norm_of_such_a_weight_keeps_its_forward():
    models = []
    for _ in range(2):
        model = tiny.text_model("llama")
        model.model.norm.weight = frozen(Scaled.of(model.model.norm.weight))
        models.append(model)
    receipt = apply_liger_kernel_to_llama(model=models[1])
    assert "Scaled" in receipt.missing["model.norm"] and "model.layers.0.input_layernorm" in receipt.kernels
    same_training(*models, tiny.text_batch())


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: rms_norm(x, w[0], 1e-6, 0.0, "llama"),
        lambda x, w: rms_norm(w, x[0], 1e-6, 0.0, "llama"),
        lambda x, w: liger_layer_norm(x, w[0], x[0], 1e-6),
        lambda x, w: liger_fused_linear_cross_entropy(x, w, torch.tensor([0, 1])),
        lambda x, w: liger_fused_linear_cross_entropy(x, x, torch.tensor([0, 1]), ce_weight=w[0][:2]),
    ],
)
def test_an_operation_says_what_it_cannot_read(call):
    class Opaque(Scaled):
        """Stays what it is when a part is taken."""

        @classmethod
        def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
            if function in (torch.ops.aten.select.int, torch.ops.aten.slice.Tensor):
                return cls.of(function(args[0].codes * args[0].scale, *args[1:]))
            return super().__torch_dispatch__(function, types, args, kwargs)

    x = torch.randn(2, 8, requires_grad=True)
    with pytest.raises(NotImplementedError, match="Opaque .*Dequantise"):
        call(x, Opaque.of(torch.randn(2, 8)))


def test_which_tensors_have_memory():
    weight = torch.randn(4, 8)
    assert all(map(has_memory, (weight, nn.Parameter(weight), weight[::2], weight.as_subclass(Named))))
    assert not any(map(has_memory, (Scaled.of(weight), Negated(weight), weight.to_sparse())))


def test_soft_targets_of_such_logits_are_torchs():
    logits = Scaled.of(torch.randn(4, 8))
    target = torch.tensor([1, 2, 3, 4])
    expected = nn.functional.cross_entropy(logits, target)
    assert torch.allclose(liger_cross_entropy(logits, target), expected)
