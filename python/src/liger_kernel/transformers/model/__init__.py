"""The loss forwards, importable by model name: `liger_kernel.transformers.model.llama.lce_forward`.

There is one implementation, in `lce`. The modules named after models are made here: each holds that model's function
and the helpers that other packages import beside it.
"""

from __future__ import annotations

import sys
import types

# Model module -> its functions and the transformers class each belongs to.
FORWARDS = {
    "deepseek_v2": {"lce_forward": ("deepseek_v2", "DeepseekV2ForCausalLM")},
    "deepseek_v3": {"lce_forward": ("deepseek_v3", "DeepseekV3ForCausalLM")},
    "deepseek_v4": {"lce_forward": ("deepseek_v4", "DeepseekV4ForCausalLM")},
    "exaone4": {"lce_forward": ("exaone4", "Exaone4ForCausalLM")},
    "falcon_h1": {"lce_forward": ("falcon_h1", "FalconH1ForCausalLM")},
    "gemma": {"lce_forward": ("gemma", "GemmaForCausalLM")},
    "gemma2": {"lce_forward": ("gemma2", "Gemma2ForCausalLM")},
    "gemma3": {
        "causal_forward": ("gemma3", "Gemma3ForCausalLM"),
        "multimodal_forward": ("gemma3", "Gemma3ForConditionalGeneration"),
    },
    "gemma4": {
        "causal_forward": ("gemma4", "Gemma4ForCausalLM"),
        "multimodal_forward": ("gemma4", "Gemma4ForConditionalGeneration"),
    },
    "glm4": {"lce_forward": ("glm4", "Glm4ForCausalLM")},
    "glm4v": {"lce_forward": ("glm4v", "Glm4vForConditionalGeneration")},
    "glm4v_moe": {"lce_forward": ("glm4v_moe", "Glm4vMoeForConditionalGeneration")},
    "gpt_oss": {"lce_forward": ("gpt_oss", "GptOssForCausalLM")},
    "granite": {"lce_forward": ("granite", "GraniteForCausalLM")},
    "hunyuan_v1": {"lce_forward": ("hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM")},
    "internvl": {"lce_forward": ("internvl", "InternVLForConditionalGeneration")},
    "llama": {"lce_forward": ("llama", "LlamaForCausalLM")},
    "llama4": {"lce_forward": ("llama4", "Llama4ForCausalLM")},
    "llava": {"lce_forward": ("llava", "LlavaForConditionalGeneration")},
    "ministral": {"lce_forward": ("ministral", "MinistralForCausalLM")},
    "mistral": {"lce_forward": ("mistral", "MistralForCausalLM")},
    "mixtral": {"lce_forward": ("mixtral", "MixtralForCausalLM")},
    "mllama": {"lce_forward": ("mllama", "MllamaForCausalLM")},
    "muse_glimmer": {"lce_forward": ("muse_glimmer", "MuseGlimmerForConditionalGeneration")},
    "nemotron": {"lce_forward": ("nemotron", "NemotronForCausalLM")},
    "olmo2": {"lce_forward": ("olmo2", "Olmo2ForCausalLM")},
    "olmo3": {"lce_forward": ("olmo3", "Olmo3ForCausalLM")},
    "paligemma": {"lce_forward": ("paligemma", "PaliGemmaForConditionalGeneration")},
    "phi3": {"lce_forward": ("phi3", "Phi3ForCausalLM")},
    "pixtral": {},
    "qwen2": {"lce_forward": ("qwen2", "Qwen2ForCausalLM")},
    "qwen2_5_vl": {"lce_forward": ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration")},
    "qwen2_vl": {"lce_forward": ("qwen2_vl", "Qwen2VLForConditionalGeneration")},
    "qwen3": {"lce_forward": ("qwen3", "Qwen3ForCausalLM")},
    "qwen3_5": {
        "lce_forward": ("qwen3_5", "Qwen3_5ForCausalLM"),
        "lce_forward_for_multimodal": ("qwen3_5", "Qwen3_5ForConditionalGeneration"),
    },
    "qwen3_5_moe": {
        "lce_forward": ("qwen3_5_moe", "Qwen3_5MoeForCausalLM"),
        "lce_forward_conditional_generation": ("qwen3_5_moe", "Qwen3_5MoeForConditionalGeneration"),
    },
    "qwen3_moe": {"lce_forward": ("qwen3_moe", "Qwen3MoeForCausalLM")},
    "qwen3_next": {"lce_forward": ("qwen3_next", "Qwen3NextForCausalLM")},
    "qwen3_vl": {"lce_forward": ("qwen3_vl", "Qwen3VLForConditionalGeneration")},
    "qwen3_vl_moe": {"lce_forward": ("qwen3_vl_moe", "Qwen3VLMoeForConditionalGeneration")},
    "smollm3": {"lce_forward": ("smollm3", "SmolLM3ForCausalLM")},
    "smolvlm": {"lce_forward": ("smolvlm", "SmolVLMForConditionalGeneration")},
}


class ModelModule(types.ModuleType):
    """The module of one model. Its functions are made when they are first asked for, which imports the model."""

    def __getattr__(self, name):
        if name in self.__dict__["forwards"]:
            from liger_kernel.transformers.model import lce

            directory, class_name = self.forwards[name]
            function = lce.make_lce_forward(self.__name__, class_name, name)
            cls = lce.find_class(f"transformers.models.{directory}.modeling_{directory}", class_name)
            if cls is not None:
                lce.remember(cls, function)
            self.__dict__[name] = function
            return function
        if name in HELPERS:
            from liger_kernel.transformers.model import lce

            return getattr(lce, name, None) or getattr(lce.loss_utils, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self):
        return sorted({*super().__dir__(), *self.forwards, *HELPERS})


HELPERS = ("LigerForCausalLMLoss", "unpack_cross_entropy_result", "lce_maybe_trainable_lm_head")

for _name, _forwards in FORWARDS.items():
    _module = ModelModule(f"{__name__}.{_name}", f"The loss forward of {_name}; see `{__name__}.lce`.")
    _module.forwards = _forwards
    _module.__package__ = __name__
    sys.modules[_module.__name__] = _module
    globals()[_name] = _module
