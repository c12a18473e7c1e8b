"""Names that other packages import from upstream's modules, each with what it stands for."""

import importlib
import pickle

import pytest
import torch

from liger_kernel.transformers import monkey_patch
from liger_kernel.transformers.model import lce
from liger_kernel.transformers.model import output_classes
from liger_kernel.utils import is_peft_available

MODELS = {
    "Gemma3": ("gemma3", "Gemma3ForConditionalGeneration"),
    "Gemma4": ("gemma4", "Gemma4ForConditionalGeneration"),
    "Glm4vMoe": ("glm4v_moe", "Glm4vMoeForConditionalGeneration"),
    "InternVL": ("internvl", "InternVLForConditionalGeneration"),
    "Llava": ("llava", "LlavaForConditionalGeneration"),
    "MuseGlimmer": ("muse_glimmer", "MuseGlimmerForConditionalGeneration"),
    "PaliGemma": ("paligemma", "PaliGemmaForConditionalGeneration"),
    "Qwen2_5_VL": ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"),
    "Qwen2VL": ("qwen2_vl", "Qwen2VLForConditionalGeneration"),
    "Qwen3VL": ("qwen3_vl", "Qwen3VLForConditionalGeneration"),
    "Qwen3VLMoe": ("qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration"),
    "Qwen3_5": ("qwen3_5", "Qwen3_5ForConditionalGeneration"),
    "Qwen3_5Moe": ("qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration"),
    "": ("llama", "LlamaForCausalLM"),
    "Moe": ("mixtral", "MixtralForCausalLM"),
}


@pytest.mark.parametrize("prefix", MODELS, ids=lambda prefix: prefix or "plain")
def test_output_classes_are_what_forwards_return(prefix):
    directory, model = MODELS[prefix]
    module = pytest.importorskip(f"transformers.models.{directory}.modeling_{directory}")
    cls = getattr(output_classes, f"Liger{prefix}CausalLMOutputWithPast")
    returned = lce.output_types(lce.original_forward(getattr(module, model)))
    assert cls in [output_classes.liger_output_class(c) for c in returned]
    output = pickle.loads(pickle.dumps(cls(loss=torch.ones(1), token_accuracy=torch.tensor(0.5))))
    assert type(output) is cls and output.token_accuracy == 0.5 and output.predicted_tokens is None
    assert output.to_tuple() == (torch.ones(1), torch.tensor(0.5))


def test_output_classes_that_are_not():
    for name in ("LigerOtherCausalLMOutputWithPast", "LigerOther", "Other"):
        with pytest.raises(AttributeError, match=name.removeprefix("Liger")):
            getattr(output_classes, name)


def test_whether_peft_is_there():
    modules = ["monkey_patch", "model.llama", "model.smollm3"]
    found = [importlib.import_module(f"liger_kernel.transformers.{name}").PEFT_AVAILABLE for name in modules]
    assert found == [is_peft_available()] * 3


def test_versions_of_transformers():
    version = importlib.import_module("packaging.version").Version(importlib.import_module("transformers").__version__)
    assert monkey_patch.IS_TRANSFORMERS_V5_OR_LATER == (version.major >= 5)
    assert monkey_patch.MIN_SUPPORTED_TRANSFORMERS_VERSION <= version


def test_names_that_are_imported_through_modules():
    from liger_kernel.ops import LigerCrossEntropyFunction
    from liger_kernel.ops.utils import torch_to_triton_dtype
    from liger_kernel.transformers import cross_entropy
    from liger_kernel.transformers.functional import CrossEntropyOutput

    assert cross_entropy.LigerCrossEntropyFunction is LigerCrossEntropyFunction
    fused = importlib.import_module("liger_kernel.transformers.fused_linear_cross_entropy")
    assert cross_entropy.CrossEntropyOutput is fused.CrossEntropyOutput is CrossEntropyOutput
    # Axolotl's, the second of which tells a registered implementation by its loaded module.
    trainer = pytest.importorskip("liger_kernel.transformers.trainer.orpo_trainer", exc_type=ImportError)
    assert trainer._FSDPForwardRedirection.__module__ == "liger_kernel.transformers.fsdp"
    assert dict(importlib.import_module("liger_kernel.ops.backends.registry").IMPL_REGISTRY) == {}
    module = importlib.import_module("liger_kernel.ops.modulated_rms_norm")
    assert module.torch_to_triton_dtype is torch_to_triton_dtype
    with pytest.raises(RuntimeError, match="no Triton"):
        module.torch_to_triton_dtype[torch.float32]
