"""What users get wrong when they patch: it is said, and never passed over in silence."""

import copy
import functools
import logging
import types

import numpy as np
import pytest
import torch
import transformers

import liger_kernel

from liger_kernel.transformers import AutoLigerKernelForCausalLM
from liger_kernel.transformers import LigerRecomputeCallback
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_qwen3
from liger_kernel.transformers.receipt import NOTHING
from liger_kernel.transformers.receipt import PatchError
from patching import tiny

pytestmark = pytest.mark.smoke


def neox():
    """A model of a family that there are no kernels for."""
    config = transformers.GPTNeoXConfig(
        vocab_size=tiny.VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    )  # fmt: skip
    return transformers.GPTNeoXForCausalLM(config)


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.name.startswith("liger") and r.levelno >= logging.WARNING]


def test_a_model_type_without_kernels_is_said(caplog, tmp_path):
    model = neox()
    assert _apply_liger_kernel_to_instance(model) is None
    assert _apply_liger_kernel("gpt_neox") is None
    AutoLigerKernelForCausalLM.from_config(model.config)
    model.save_pretrained(tmp_path)
    AutoLigerKernelForCausalLM.from_pretrained(tmp_path)
    found = warnings_of(caplog)
    assert len(found) == 4 and all("'gpt_neox'" in each and "report(model)" in each for each in found)
    caplog.clear()
    _apply_liger_kernel_to_instance(torch.nn.Linear(2, 2))
    assert len(warnings_of(caplog)) == 1
    caplog.clear()
    _apply_liger_kernel_to_instance(tiny.text_model("llama"))
    assert not warnings_of(caplog)


def test_another_familys_function_is_said(caplog):
    receipt = apply_liger_kernel_to_qwen3(model=tiny.text_model("llama"))
    (warning,) = warnings_of(caplog)
    assert "use apply_liger_kernel_to_llama" in warning
    absent = [entry.switch for entry in receipt.entries if entry.reason == NOTHING]
    assert absent == ["rope", "rms_norm", "swiglu"] and str(receipt).count(f"({NOTHING})") == 3
    with pytest.raises(PatchError, match=r"rms_norm: nothing was found to patch\n"):
        apply_liger_kernel_to_qwen3(model=tiny.text_model("llama"), strict=True)
    caplog.clear()
    apply_liger_kernel_to_llama(model=neox())
    (warning,) = warnings_of(caplog)
    assert "'gpt_neox': there are no kernels for that type" in warning


def test_a_model_type_of_the_users_own_is_none_of_another_family(caplog):
    """A class of the family under a model type that nobody else knows."""
    model = tiny.text_model("llama")
    model.config.model_type = "my_llama"
    receipt = apply_liger_kernel_to_llama(model=model, strict=True)
    assert not warnings_of(caplog) and not receipt.missing


def test_a_model_in_the_place_of_a_switch_is_refused():
    model = tiny.text_model("llama")
    with pytest.raises(TypeError, match=r"apply_liger_kernel_to_llama: the switch rope is a LlamaForCausalLM; give"):
        apply_liger_kernel_to_llama(model)
    with pytest.raises(TypeError, match="the switch strict is a Llama"):
        apply_liger_kernel_to_llama(strict=model)
    with pytest.raises(TypeError, match="the switch rope must be True or False; found the text 'no'"):
        apply_liger_kernel_to_llama(rope="no", model=model)
    for other, kind in ((model.config, "LlamaConfig"), ({"rope": True}, "dict"), (type(model), "type")):
        with pytest.raises(TypeError, match=f"the switch rope must be True or False; found a {kind}"):
            apply_liger_kernel_to_llama(other)
    assert not liger_kernel.report(tiny.text_model("llama")).kernels


def test_a_switch_that_there_is_not_is_refused():
    with pytest.raises(TypeError, match="to_llama: got an unexpected keyword argument 'swigl'. Its switches are rope"):
        apply_liger_kernel_to_llama(swigl=True)


def test_a_kernel_that_stays_from_an_earlier_patch_is_said(caplog):
    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model, swiglu=False)
    assert not caplog.text
    receipt = apply_liger_kernel_to_llama(model=model, rms_norm=False, swiglu=False)
    assert receipt.of("rms_norm") and warnings_of(caplog) == [
        "apply_liger_kernel_to_llama: rms_norm is off here, but LigerRMSNorm is in place from an earlier patch and "
        "stays. Make the model anew to be without it"
    ]


@pytest.mark.parametrize("value", [1, np.True_, True])
def test_numbers_that_are_switches(value):
    for given, is_on in ((value, True), (None, False)):
        receipt = apply_liger_kernel_to_llama(model=tiny.text_model("llama"), rope=given)
        assert {bool(entry.kernel) for entry in receipt.entries if entry.switch == "rope"} == {is_on}


def covered(inner, calls):
    @functools.wraps(inner.__func__)
    def forward(self, *args, **kwargs):
        return inner(*args, **kwargs) if calls else None

    return forward


@pytest.mark.parametrize("place", ["", "model.norm"])
def test_a_forward_under_our_name_is_in_the_receipt(place):
    """As TRL puts before a model's forward: functools.wraps gives it the name of what it may not call."""
    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    module = model.get_submodule(place)
    module.forward = types.MethodType(covered(module.forward, False), module)
    receipt = liger_kernel.report(model)
    reason = receipt.missing[place or "LlamaForCausalLM"]
    assert "replaced by patching.test_misuse." in reason
    assert reason.endswith("may not run") and (place or "LlamaForCausalLM") not in receipt.kernels


def test_what_accelerate_wraps_around_a_forward_runs_it():
    from accelerate.utils.operations import convert_outputs_to_fp32

    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    expected = str(liger_kernel.report(model))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    model.forward = types.MethodType(autocast(model.forward.__func__), model)
    model.forward = types.MethodType(convert_outputs_to_fp32(model.forward.__func__), model)
    assert str(liger_kernel.report(model)) == expected


def test_a_class_forward_under_the_name_that_it_wraps_stays(monkeypatch):
    from transformers.models.llama import modeling_llama

    original = modeling_llama.LlamaMLP.forward

    @functools.wraps(original)
    def forward(self, x):
        return 0.5 * original(self, x)

    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", forward)
    model = tiny.text_model("llama")
    expected = copy.deepcopy(model)(**tiny.text_batch()).loss.item()
    receipt = apply_liger_kernel_to_llama(model=model)
    assert model(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)
    assert "forward of its class was replaced by patching.test_misuse" in receipt.missing["model.layers.0.mlp"]


@pytest.mark.parametrize("wrong", [{"budget": "lots"}, {"budget": 0}, {"host_budget": "auto"}])
def test_a_callbacks_budget_is_read_when_it_is_made(wrong):
    with pytest.raises(ValueError, match="budget must be"):
        LigerRecomputeCallback(**wrong)
