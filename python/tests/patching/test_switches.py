"""The functions that patch: their signatures, switches, receipts, and what they leave alone."""

import copy
import inspect
import logging
import pickle

from unittest import mock

import pytest
import torch
import torch.nn.functional as F

import liger_kernel
import liger_kernel.transformers

from liger_kernel.transformers import LigerRMSNorm
from liger_kernel.transformers import LigerSwiGLUMLP
from liger_kernel.transformers import leaves
from liger_kernel.transformers import monkey_patch
from liger_kernel.transformers.binding import binding_of
from liger_kernel.transformers.binding import original_class
from liger_kernel.transformers.families import BY_NAME
from liger_kernel.transformers.families import FAMILIES
from liger_kernel.transformers.model.lce import is_loss_forward
from liger_kernel.transformers.monkey_patch import ALL_SWITCHES
from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from liger_kernel.transformers.monkey_patch import PatchError
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_granite
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from liger_kernel.transformers.patching import loss_forward
from patching import multimodal
from patching import tiny
from patching.conftest import results
from patching.every import FUSED
from patching.every import NAMES
from patching.every import apply
from patching.every import apply_to_classes
from patching.every import make

pytestmark = pytest.mark.smoke


def functions():
    found = inspect.getmembers(monkey_patch, inspect.isfunction)
    return {name: f for name, f in found if name.startswith("apply_liger_kernel_to_")}


def test_every_function_is_in_the_map_and_takes_a_model():
    assert set(functions().values()) == set(MODEL_TYPE_TO_APPLY_LIGER_FN.values())
    for name, function in functions().items():
        signature = inspect.signature(function)
        assert signature.parameters["model"].default is None
        row = BY_NAME[name[len("apply_liger_kernel_to_") :]]
        assert {n: p.default for n, p in signature.parameters.items() if n in row.flags} == row.flags
        assert getattr(liger_kernel.transformers, name) is function


# Upstream's functions by their positional parameters, as others may call them so. "+" stands before what is on.
LOSSES = "-cross_entropy +fused_linear_cross_entropy"
POSITIONS = {
    f"+rope {LOSSES} +rms_norm +swiglu model": (
        "llama smollm3 ministral mistral mixtral qwen2 qwen3 qwen3_moe qwen2_5_vl qwen3_vl_moe phi3 olmo2 olmo3 "
        "falcon_h1 hunyuan_v1_dense hunyuan_v1_moe exaone4"
    ),
    f"-rope {LOSSES} +rms_norm +swiglu model": (
        "glm4 glm4v glm4v_moe qwen3_next qwen3_5 qwen3_5_moe deepseek_v2 deepseek_v3"
    ),
    f"-rope {LOSSES} +rms_norm -swiglu model": "deepseek_v4",
    f"+rope {LOSSES} +rms_norm -swiglu model": "gpt_oss qwen3_vl",
    "+rope +cross_entropy -fused_linear_cross_entropy +rms_norm +swiglu model": "granite",
    f"+rope {LOSSES} +rms_norm +geglu model": "gemma gemma2 gemma3_text",
    f"-rope {LOSSES} +rms_norm +geglu model": "gemma4_text",
    f"+rope {LOSSES} +layer_norm +rms_norm +geglu model": "gemma3 paligemma",
    f"-rope {LOSSES} -layer_norm +rms_norm +geglu model": "gemma4",
    f"+rope {LOSSES} +layer_norm +rms_norm +swiglu model": "mllama muse_glimmer",
    f"+rope {LOSSES} +rms_norm +layer_norm +swiglu model": "qwen2_vl",
    f"+rope {LOSSES} +rms_norm +swiglu model +layer_norm": "llama4",
    f"{LOSSES} model **kwargs": "llava",
    f"{LOSSES} +rms_norm +layer_norm model **kwargs": "internvl smolvlm",
    f"+relu_squared {LOSSES} model **kwargs": "nemotron",
    "+rope +rms_norm +swiglu model": "pixtral",
}


def positions(function):
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            yield f"**{parameter.name}"
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            yield {True: "+", False: "-", None: ""}[parameter.default] + parameter.name


def test_parameters_stand_where_upstream_has_them():
    wanted = {name: order for order, names in POSITIONS.items() for name in names.split()}
    found = {name[len("apply_liger_kernel_to_") :]: " ".join(positions(f)) for name, f in functions().items()}
    assert len(wanted) == 45 and {name: found[name] for name in wanted} == wanted


def test_every_row_names_kernels_that_exist():
    for row in FAMILIES:
        norms = [norm.kernel for norm in row.norms.values()]
        for name in (*norms, *row.rope.values(), *row.mlps.values(), *row.activations.values()):
            assert leaves.kernel(name) is not None, f"{row.name}: {name}"


def test_every_row_names_a_loss_forward_that_exists():
    for row in FAMILIES:
        for class_name, (_, function) in row.heads.items():
            forward = loss_forward(row, class_name)
            assert is_loss_forward(forward) and forward.__name__ == function, f"{row.name}: {class_name}"


@pytest.mark.parametrize("name", sorted(functions()))
def test_both_cross_entropies_are_refused(name):
    function = functions()[name]
    if "cross_entropy" not in inspect.signature(function).parameters:
        pytest.skip("this one has no loss")
    with pytest.raises(AssertionError, match="cannot both be True"):
        function(cross_entropy=True, fused_linear_cross_entropy=True)


@pytest.mark.parametrize("switch", ["rope", "rms_norm", "swiglu", "fused_linear_cross_entropy"])
def test_a_switch_turns_one_kernel_off(switch):
    model = tiny.text_model("llama")
    receipt = apply_liger_kernel_to_llama(model=model, **{switch: False})
    bound = {entry.switch for entry in receipt.entries if entry.kernel}
    assert bound == {"rope", "rms_norm", "swiglu", "fused_linear_cross_entropy"} - {switch}
    assert all(entry.reason == "switched off" for entry in receipt.of(switch)) and receipt.of(switch)
    ours = {
        "rope": binding_of(model.model.layers[0].self_attn) is not None,
        "rms_norm": "LigerRMSNorm" in repr(model.model.norm),
        "swiglu": "LigerSwiGLUMLP" in repr(model.model.layers[1].mlp),
        "fused_linear_cross_entropy": is_loss_forward(model.forward),
    }
    assert ours == {name: name != switch for name in ours}


def test_an_instance_shows_and_has_the_kernels_source():
    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    layer = model.model.layers[0]
    assert inspect.getsource(layer.input_layernorm.forward) == inspect.getsource(LigerRMSNorm.forward)
    assert inspect.getsource(layer.mlp.forward) == inspect.getsource(LigerSwiGLUMLP.forward)
    assert "LigerRMSNorm((32,)" in repr(model) and "LigerSwiGLUMLP(" in repr(model)
    norm = layer.input_layernorm
    assert (norm.offset, norm.casting_mode, norm.in_place, norm.row_mode) == (0.0, "llama", True, None)
    assert norm.variance_epsilon == model.config.rms_norm_eps


def test_patching_one_instance_leaves_others_their_forwards():
    one, other = tiny.text_model("llama"), tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=one)
    assert not is_loss_forward(other.forward) and not any(binding_of(module) for module in other.modules())


def test_patching_twice_changes_nothing():
    model = tiny.text_model("gemma2")
    first = _apply_liger_kernel_to_instance(model)
    before = results(model, tiny.text_batch())
    second = _apply_liger_kernel_to_instance(model)
    assert first.kernels == second.kernels
    assert bool(torch.equal(before[0], results(model, tiny.text_batch())[0]))


def test_classes_and_then_the_instance():
    _apply_liger_kernel("llama")
    model = tiny.text_model("llama")
    receipt = _apply_liger_kernel_to_instance(model, strict=True)
    assert not receipt.missing
    assert receipt.kernels["model.layers.1.mlp"] == "LigerSwiGLUMLP"
    model(**tiny.text_batch()).loss.backward()


def test_the_receipt_is_read_from_the_model():
    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    mlp = model.model.layers[1].mlp
    mlp.__class__ = original_class(type(mlp))
    receipt = liger_kernel.report(model)
    assert receipt.missing == {"model.layers.1.mlp": "not patched"}
    assert receipt.kernels["model.layers.0.mlp"] == "LigerSwiGLUMLP"


def test_the_receipt_prints_and_is_logged(caplog, capsys):
    model = tiny.text_model("llama")
    with caplog.at_level(logging.INFO, logger="liger_kernel.transformers.monkey_patch"):
        receipt = apply_liger_kernel_to_llama(model=model, swiglu=False)
    assert str(receipt) in caplog.text
    assert "LlamaRMSNorm: model.layers.0.input_layernorm and 4 more" in str(receipt)
    assert "switched off" in str(receipt)
    liger_kernel.report(model)
    assert capsys.readouterr().out.strip() == str(receipt)


def test_a_report_of_an_unpatched_model():
    receipt = liger_kernel.report(tiny.text_model("qwen3"))
    assert not receipt.kernels and "not patched" in set(receipt.missing.values())


@pytest.mark.parametrize("family", tiny.TEXT_MODELS)
def test_a_report_is_the_same_for_patched_classes(family):
    """Both ways of patching run the same kernels, so both receipts name the same modules, function by function."""
    older = make(family)[0]
    bound = apply(make(family)[0], **FUSED)
    apply_to_classes(older, **FUSED)
    receipt = liger_kernel.report(make(family)[0])
    assert set(receipt.kernels) == set(bound.kernels)
    assert set(receipt.missing) == set(bound.missing)
    # A file's functions are those of every model of the family, so an older model runs them too.
    rotary = {entry.target: entry.kernel for entry in receipt.of("rope")}
    assert {entry.target: entry.kernel for entry in liger_kernel.report(older).of("rope")} == rotary


def test_strict_raises_where_something_is_missing():
    model = tiny.text_model("llama")
    model.model.layers[1].mlp.act_fn = torch.nn.GELU()
    with pytest.raises(PatchError, match="model.layers.1.mlp: its activation is GELU"):
        apply_liger_kernel_to_llama(model=model, strict=True)
    assert apply_liger_kernel_to_llama(model=model).missing == {
        "model.layers.1.mlp": "its activation is GELU, the kernel's is silu"
    }
    apply_liger_kernel_to_llama(model=model, strict=True, swiglu=False)


def test_strict_raises_where_a_kernel_finds_no_module():
    from transformers import LlamaForSequenceClassification

    model = LlamaForSequenceClassification(tiny.text_config("llama"))
    with pytest.raises(PatchError, match="has no lm_head"):
        apply_liger_kernel_to_llama(model=model, strict=True)


def test_an_activation_that_is_not_the_kernels_is_left_alone():
    plain = tiny.text_model("gemma", hidden_act="relu")
    patched = copy.deepcopy(plain)
    receipt = _apply_liger_kernel_to_instance(patched)
    assert "its activation is" in receipt.missing["model.layers.0.mlp"]
    batch = tiny.text_batch()
    assert patched(**batch).loss.item() == pytest.approx(plain(**batch).loss.item(), rel=1e-6)


def cross_entropies(model):
    """How often a step of a model runs the kernel of the cross entropy."""
    before = liger_kernel.launch_counts().get("CrossEntropyRows", 0)
    output = model(**tiny.text_batch())
    assert output.logits is not None
    return liger_kernel.launch_counts().get("CrossEntropyRows", 0) - before, output.loss.item()


def test_cross_entropy_reaches_one_model():
    from transformers.loss import loss_utils

    before = loss_utils.nn, F.cross_entropy
    model, other = tiny.text_model("granite"), tiny.text_model("granite")
    _, expected = cross_entropies(model)
    receipt = apply_liger_kernel_to_granite(model=model)
    assert receipt.kernels["GraniteForCausalLM.loss_function"] == "liger_cross_entropy"
    for made in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert cross_entropies(made) == (1, pytest.approx(expected, rel=1e-6))
    assert cross_entropies(other) == (0, expected) and (loss_utils.nn, F.cross_entropy) == before
    apply_liger_kernel_to_granite(model=model, cross_entropy=False, fused_linear_cross_entropy=True)
    assert model.train()(**tiny.text_batch()).logits is None


def test_cross_entropy_reaches_transformers_and_not_torch():
    torch_before = F.cross_entropy
    model = tiny.text_model("granite")
    _, expected = cross_entropies(model)
    receipt = apply_liger_kernel_to_granite()
    assert receipt.kernels["transformers.loss"] == "liger_cross_entropy"
    assert cross_entropies(model) == (1, pytest.approx(expected, rel=1e-6))
    assert F.cross_entropy is torch_before and torch.nn.functional.cross_entropy is torch_before


@pytest.mark.parametrize("name", ["glm4", "glm4v", "glm4v_moe", "qwen3_5", "qwen3_5_moe"])
def test_rope_that_has_no_kernel_is_refused(name):
    with pytest.raises(NotImplementedError, match="rope=False"):
        functions()[f"apply_liger_kernel_to_{name}"](rope=True)


def test_rope_that_has_no_effect_warns(caplog):
    functions()["apply_liger_kernel_to_deepseek_v3"](rope=True)
    assert "rope=True has no effect" in caplog.text


@pytest.mark.parametrize(
    ("name", "error"), [("qwen2_vl", TypeError), ("gemma3", TypeError), ("mllama", ValueError), ("pixtral", ValueError)]
)
def test_a_model_of_another_family_is_refused(name, error):
    with pytest.raises(error, match="not LlamaForCausalLM"):
        functions()[f"apply_liger_kernel_to_{name}"](model=tiny.text_model("llama"))


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.2-1B", object()], ids=["name", "object"])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(TypeError, match="must be a model, a torch.nn.Module, not of type"):
        apply_liger_kernel_to_llama(model=model)


def test_a_module_without_anything_of_the_family_is_said():
    receipt = apply_liger_kernel_to_llama(model=torch.nn.Linear(2, 2))
    assert "Linear has no lm_head" in str(receipt)
    with pytest.raises(PatchError):
        apply_liger_kernel_to_llama(model=torch.nn.Linear(2, 2), strict=True)


def test_arguments_are_filtered_by_the_signature_and_the_map_is_read_when_called(caplog):
    called = mock.Mock()
    called.__signature__ = inspect.signature(apply_liger_kernel_to_llama)
    with mock.patch.dict(MODEL_TYPE_TO_APPLY_LIGER_FN, {"llama": called}):
        _apply_liger_kernel("llama", rope=False, geglu=True, nonsense=1)
        called.assert_called_once_with(rope=False)
        model = tiny.text_model("llama")
        _apply_liger_kernel_to_instance(model, swiglu=False, nonsense=1)
        called.assert_called_with(swiglu=False, model=model)
    with caplog.at_level(logging.INFO):
        assert _apply_liger_kernel("") is None and _apply_liger_kernel("bert") is None
    assert "bert" in caplog.text


def test_a_modeling_module_that_a_test_replaced_is_the_one_patched():
    from transformers.models.llama import modeling_llama as real

    before = real.LlamaRMSNorm, real.apply_rotary_pos_emb
    with mock.patch("transformers.models.llama.modeling_llama") as replaced:
        _apply_liger_kernel("llama")
        assert replaced.LlamaRMSNorm is LigerRMSNorm
    assert (real.LlamaRMSNorm, real.apply_rotary_pos_emb) == before


def test_towers_get_their_own_switches(caplog):
    model = multimodal.multimodal_model("llava")
    receipt = _apply_liger_kernel_to_instance(model)
    assert receipt.kernels["model.language_model.layers.0.mlp"] == "LigerSwiGLUMLP"
    assert "no kernels for its vision_config (clip_vision_model)" in caplog.text


def test_towers_are_told_their_switches(caplog):
    model = multimodal.multimodal_model("llava")
    receipt = monkey_patch.apply_liger_kernel_to_llava(model=model, swiglu=False, no_such_switch=True)
    assert receipt.missing["model.language_model.layers.0.mlp"] == "switched off"
    assert "no switches no_such_switch" in caplog.text


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError):
        liger_kernel.transformers.no_such_thing
    with pytest.raises(AttributeError):
        monkey_patch.no_such_thing
    from liger_kernel.transformers.model import llama

    with pytest.raises(AttributeError):
        llama.no_such_thing


def test_a_model_that_this_transformers_lacks_is_named():
    with mock.patch.dict("sys.modules", {"transformers.models.llama": None}):
        with pytest.raises(ImportError, match="has no model 'llama'"):
            _apply_liger_kernel("llama")


@pytest.mark.parametrize("family", NAMES)
def test_a_trainers_configuration_switches_everything_off(family):
    """As `liger_kernel_config` does: one set of switches for any model, whatever parts it has."""
    model, _ = make(family)
    receipt = _apply_liger_kernel_to_instance(model, **dict.fromkeys(ALL_SWITCHES, False))
    assert not receipt.kernels


@pytest.mark.parametrize("switch, kernel", [("rms_norm", "LigerRMSNorm"), ("swiglu", "LigerSwiGLUMLP")])
@pytest.mark.parametrize("family", ["llava", "internvl", "smolvlm"])
def test_a_switch_is_off_in_the_towers_too(family, switch, kernel):
    for function in (_apply_liger_kernel_to_instance, apply):
        model, _ = make(family)
        kernels = set(function(model, **{switch: False}).kernels.values())
        others = {"LigerRMSNorm", "LigerSwiGLUMLP", "liger_rotary_pos_emb"} - {kernel}
        assert kernel not in kernels and others <= kernels


def test_a_switch_that_no_model_has_is_said(caplog):
    _apply_liger_kernel_to_instance(tiny.text_model("llama"), rms_nrom=False, geglu=False, strict=True)
    assert "rms_nrom: no model has switches of these names; those of LlamaForCausalLM are rope, " in caplog.text
    assert "geglu" not in caplog.text
