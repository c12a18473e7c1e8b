"""Which kernel stands in for which class of a model: one row per model family.

A row names classes and functions of `transformers.models.<directory>.modeling_<directory>` and what replaces them.
Modules of an existing model are found by these class names wherever they sit, so a new release may move them. Names
that an installed release does not have are reported and left alone: a row lists those of all supported releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Mapping
from typing import Optional
from typing import Tuple

FLCE = "fused_linear_cross_entropy"

# Flags in the order of the functions' parameters.
STANDARD = {"rope": True, "cross_entropy": False, "fused_linear_cross_entropy": True, "rms_norm": True, "swiglu": True}
GEGLU = {"rope": True, "cross_entropy": False, "fused_linear_cross_entropy": True, "rms_norm": True, "geglu": True}


@dataclass(frozen=True)
class Norm:
    """A normalisation kernel: the class that replaces a class, and what re-binding an instance sets on it.

    `offset` is added to the weight; `casting` says where the row is rounded (see `LigerRMSNorm`).
    """

    kernel: str
    offset: float = 0.0
    casting: str = "llama"
    in_place: bool = True


PLAIN = Norm("LigerRMSNorm")
GEMMA = Norm("LigerRMSNormForGemma", 1.0, "gemma")
GEMMA2 = Norm("LigerRMSNormForGemma2", 1.0, "gemma", False)
GEMMA3 = Norm("LigerRMSNormForGemma3", 1.0, "gemma", False)
GEMMA4 = Norm("LigerRMSNormForGemma4", 0.0, "gemma", False)
QWEN3_NEXT = Norm("LigerRMSNormForQwen3Next", 1.0, "gemma", False)
OLMO2 = Norm("LigerRMSNormForOlmo2", in_place=False)
GLM4 = Norm("LigerRMSNormForGlm4", in_place=False)
EXAONE4 = Norm("LigerRMSNormForOlmo2", in_place=False)
MUSE = Norm("LigerRMSNormForMuseGlimmer", 0.0, "gemma", False)
MUSE_CENTERED = Norm("LigerRMSNormForMuseGlimmerTextCentered", 1.0, "gemma", False)

ROPE = {"apply_rotary_pos_emb": "liger_rotary_pos_emb"}
MROPE = {**ROPE, "apply_multimodal_rotary_pos_emb": "liger_multimodal_rotary_pos_emb"}
VISION_ROPE = {**ROPE, "apply_rotary_pos_emb_vision": "liger_rotary_pos_emb_vision"}


@dataclass(frozen=True)
class Family:
    """The leaves of one model family. Mappings go from a name in the modeling module to a kernel of this package."""

    name: str
    directory: str
    model_types: Tuple[str, ...]
    flags: Mapping[str, bool] = field(default_factory=lambda: STANDARD)
    # Flags that stand behind `model` among the function's parameters.
    after_model: Tuple[str, ...] = ()
    rope: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, Norm] = field(default_factory=dict)
    mlps: Mapping[str, str] = field(default_factory=dict)
    experts: Tuple[str, ...] = ()
    activations: Mapping[str, str] = field(default_factory=dict)
    # (directory of the class, or None for this family's, ...) whose `nn.LayerNorm`s are replaced.
    layer_norms: Tuple[str, ...] = ()
    # Classes with a head: class name -> (module, function) of its loss forward.
    heads: Mapping[str, Tuple[str, str]] = field(default_factory=dict)
    # Families of the towers: by name, and by the model type of the configurations named here.
    towers: Tuple[str, ...] = ()
    tower_configs: Tuple[str, ...] = ()
    # The classes that an instance may have, and the error for any other.
    instances: Tuple[str, ...] = ()
    refusal: Optional[type] = None
    # Flags that cannot be turned on: name -> what to say. `inert` flags warn, `refused` ones raise.
    refused: Mapping[str, str] = field(default_factory=dict)
    inert: Mapping[str, str] = field(default_factory=dict)
    takes_more: bool = False


NO_ROPE = {"rope": "{name} turns pairs of neighbours or part of a head, for which there is no kernel; pass rope=False"}
INERT_ROPE = {"rope": "{name} keeps its own rotary embedding: there is no kernel for its layout"}


def family(name, prefix, *, rope=ROPE, norm=PLAIN, mlp="LigerSwiGLUMLP", directory=None, head=None, **more):
    """A row of the common shape: `<prefix>RMSNorm`, `<prefix>MLP` and `<prefix>ForCausalLM`."""
    directory = directory or name
    row = {
        "model_types": (name,),
        "rope": rope,
        "norms": {f"{prefix}RMSNorm": norm},
        "mlps": {f"{prefix}MLP": mlp} if mlp else {},
        "heads": {f"{prefix}ForCausalLM": (head or directory, "lce_forward")},
    }
    return Family(name, directory, **{**row, **more})


def without_rope(flags=STANDARD, **changes):
    return {**flags, "rope": False, **changes}


def vision_language(name, prefix, text, *, flags=STANDARD, model_types=None, **more):
    """A row of a model with a vision tower whose classes start with `prefix`."""
    head = f"{prefix}ForConditionalGeneration"
    row = {
        "model_types": model_types or (name, f"{name}_text"),
        "flags": flags,
        "heads": {head: (name, "lce_forward")},
        "instances": (head, f"{prefix}Model", *text),
        "refusal": TypeError,
    }
    return Family(name, more.pop("directory", name), **{**row, **more})


SIGLIP = ("siglip",)

FAMILIES = (
    family("llama", "Llama"),
    family("smollm3", "SmolLM3"),
    family("mistral", "Mistral"),
    family("ministral", "Ministral"),
    family(
        "mixtral",
        "Mixtral",
        mlps={"MixtralBlockSparseTop2MLP": "LigerBlockSparseTop2MLP"},
        experts=("MixtralExperts",),
    ),
    family("qwen2", "Qwen2"),
    family("qwen3", "Qwen3"),
    family("qwen3_moe", "Qwen3Moe", mlp="LigerQwen3MoeSwiGLUMLP", experts=("Qwen3MoeExperts",)),
    family(
        "qwen3_next",
        "Qwen3Next",
        flags=without_rope(),
        norm=QWEN3_NEXT,
        mlp="LigerQwen3MoeSwiGLUMLP",
        experts=("Qwen3NextExperts",),
        instances=("Qwen3NextForCausalLM", "Qwen3NextModel"),
        refusal=TypeError,
    ),
    family(
        "qwen3_5",
        "Qwen3_5",
        model_types=("qwen3_5", "qwen3_5_text"),
        flags=without_rope(),
        rope={},
        norm=QWEN3_NEXT,
        mlp="LigerQwen3MoeSwiGLUMLP",
        heads={
            "Qwen3_5ForCausalLM": ("qwen3_5", "lce_forward"),
            "Qwen3_5ForConditionalGeneration": ("qwen3_5", "lce_forward_for_multimodal"),
        },
        instances=("Qwen3_5ForCausalLM", "Qwen3_5TextModel", "Qwen3_5ForConditionalGeneration"),
        refusal=TypeError,
        refused=NO_ROPE,
    ),
    family(
        "qwen3_5_moe",
        "Qwen3_5Moe",
        model_types=("qwen3_5_moe", "qwen3_5_moe_text"),
        flags=without_rope(),
        rope={},
        norm=QWEN3_NEXT,
        mlp="LigerQwen3MoeSwiGLUMLP",
        experts=("Qwen3_5MoeExperts",),
        heads={
            "Qwen3_5MoeForCausalLM": ("qwen3_5_moe", "lce_forward"),
            "Qwen3_5MoeForConditionalGeneration": ("qwen3_5_moe", "lce_forward_conditional_generation"),
        },
        instances=(
            "Qwen3_5MoeForConditionalGeneration",
            "Qwen3_5MoeModel",
            "Qwen3_5MoeForCausalLM",
            "Qwen3_5MoeTextModel",
        ),
        refusal=TypeError,
        refused=NO_ROPE,
    ),
    vision_language(
        "qwen2_vl",
        "Qwen2VL",
        ("Qwen2VLTextModel",),
        flags={
            "rope": True,
            "cross_entropy": False,
            "fused_linear_cross_entropy": True,
            "rms_norm": True,
            "layer_norm": True,
            "swiglu": True,
        },
        rope=MROPE,
        norms={"Qwen2RMSNorm": PLAIN, "Qwen2VLRMSNorm": PLAIN},
        mlps={"Qwen2MLP": "LigerSwiGLUMLP"},
        layer_norms=("qwen2_vl",),
    ),
    vision_language(
        "qwen2_5_vl",
        "Qwen2_5_VL",
        ("Qwen2_5_VLTextModel",),
        rope=MROPE,
        norms={"Qwen2RMSNorm": PLAIN, "Qwen2_5_VLRMSNorm": PLAIN},
        mlps={"Qwen2MLP": "LigerSwiGLUMLP"},
    ),
    vision_language(
        "qwen3_vl",
        "Qwen3VL",
        ("Qwen3VLTextModel",),
        flags={**STANDARD, "swiglu": False},
        rope=VISION_ROPE,
        norms={"Qwen3VLTextRMSNorm": PLAIN},
        mlps={"Qwen3VLTextMLP": "LigerSwiGLUMLP"},
    ),
    vision_language(
        "qwen3_vl_moe",
        "Qwen3VLMoe",
        ("Qwen3VLMoeTextModel",),
        rope=VISION_ROPE,
        norms={"Qwen3VLMoeTextRMSNorm": PLAIN},
        mlps={"Qwen3VLMoeTextMLP": "LigerQwen3MoeSwiGLUMLP"},
        experts=("Qwen3VLMoeTextExperts",),
    ),
    family("gemma", "Gemma", flags=GEGLU, norm=GEMMA, mlp="LigerGEGLUMLP"),
    family("gemma2", "Gemma2", flags=GEGLU, norm=GEMMA2, mlp="LigerGEGLUMLP"),
    family(
        "gemma3_text",
        "Gemma3",
        directory="gemma3",
        flags=GEGLU,
        norm=GEMMA3,
        mlp="LigerGEGLUMLP",
        heads={"Gemma3ForCausalLM": ("gemma3", "causal_forward")},
        instances=("Gemma3ForCausalLM", "Gemma3TextModel"),
        refusal=TypeError,
    ),
    Family(
        "gemma3",
        "gemma3",
        ("gemma3",),
        flags={
            "rope": True,
            "cross_entropy": False,
            "fused_linear_cross_entropy": True,
            "layer_norm": True,
            "rms_norm": True,
            "geglu": True,
        },
        heads={"Gemma3ForConditionalGeneration": ("gemma3", "multimodal_forward")},
        layer_norms=SIGLIP,
        towers=("gemma3_text",),
        instances=("Gemma3ForConditionalGeneration",),
        refusal=TypeError,
    ),
    family(
        "gemma4_text",
        "Gemma4",
        directory="gemma4",
        flags=without_rope(GEGLU),
        rope={},
        norm=GEMMA4,
        mlps={"Gemma4TextMLP": "LigerGEGLUMLPForGemma4"},
        heads={
            "Gemma4ForCausalLM": ("gemma4", "causal_forward"),
            "Gemma4TextForCausalLM": ("gemma4", "causal_forward"),
        },
        instances=("Gemma4ForCausalLM", "Gemma4TextForCausalLM", "Gemma4TextModel"),
        refusal=TypeError,
        inert=INERT_ROPE,
    ),
    Family(
        "gemma4",
        "gemma4",
        ("gemma4",),
        flags={
            "rope": False,
            "cross_entropy": False,
            "fused_linear_cross_entropy": True,
            "layer_norm": False,
            "rms_norm": True,
            "geglu": True,
        },
        heads={"Gemma4ForConditionalGeneration": ("gemma4", "multimodal_forward")},
        towers=("gemma4_text",),
        instances=("Gemma4ForConditionalGeneration",),
        refusal=TypeError,
        inert=INERT_ROPE,
    ),
    Family(
        "paligemma",
        "paligemma",
        ("paligemma",),
        flags={
            "rope": True,
            "cross_entropy": False,
            "fused_linear_cross_entropy": True,
            "layer_norm": True,
            "rms_norm": True,
            "geglu": True,
        },
        heads={"PaliGemmaForConditionalGeneration": ("paligemma", "lce_forward")},
        layer_norms=SIGLIP,
        towers=("gemma", "gemma2"),
        instances=("PaliGemmaForConditionalGeneration",),
        refusal=TypeError,
    ),
    family("phi3", "Phi3", mlp="LigerPhi3SwiGLUMLP"),
    family("granite", "Granite", flags={**STANDARD, "cross_entropy": True, "fused_linear_cross_entropy": False}),
    family("olmo2", "Olmo2", norm=OLMO2),
    family("olmo3", "Olmo3", norm=OLMO2),
    family("exaone4", "Exaone4", norm=EXAONE4),
    family("glm4", "Glm4", flags=without_rope(), rope={}, norm=GLM4, mlp="LigerPhi3SwiGLUMLP", refused=NO_ROPE),
    vision_language(
        "glm4v",
        "Glm4v",
        ("Glm4vTextModel",),
        model_types=("glm4v",),
        flags=without_rope(),
        norms={"Glm4vRMSNorm": GLM4},
        mlps={"Glm4vTextMLP": "LigerPhi3SwiGLUMLP", "Glm4VisionMlp": "LigerGlm4vVisionSwiGLUMLP"},
        refused=NO_ROPE,
    ),
    vision_language(
        "glm4v_moe",
        "Glm4vMoe",
        ("Glm4vMoeTextModel",),
        model_types=("glm4v_moe",),
        flags=without_rope(),
        norms={"Glm4vMoeRMSNorm": GLM4, "Glm4vMoeTextRMSNorm": GLM4},
        mlps={"Glm4vMoeTextMLP": "LigerQwen3MoeSwiGLUMLP", "Glm4vMoeisionMlp": "LigerGlm4vVisionSwiGLUMLP"},
        experts=("Glm4vMoeTextNaiveMoe", "Glm4vMoeTextExperts"),
        refused=NO_ROPE,
    ),
    family(
        "gpt_oss",
        "GptOss",
        flags={**STANDARD, "swiglu": False},
        rope={"apply_rotary_pos_emb": "liger_rotary_pos_emb_gpt_oss"},
        mlp=None,
        inert={"swiglu": "the experts of {name} bound and shift their gate, for which there is no kernel"},
    ),
    family("falcon_h1", "FalconH1", mlp="LigerFalconH1SwiGLUMLP"),
    family("hunyuan_v1_dense", "HunYuanDenseV1", mlp="LigerHunyuanV1SwiGLUMLP", head="hunyuan_v1"),
    family(
        "hunyuan_v1_moe",
        "HunYuanMoEV1",
        mlp="LigerHunyuanV1SwiGLUMLP",
        experts=("HunYuanMoEV1Experts",),
        head="hunyuan_v1",
    ),
    family(
        "deepseek_v2",
        "DeepseekV2",
        flags=without_rope(),
        rope={},
        mlp="LigerQwen3MoeSwiGLUMLP",
        experts=("DeepseekV2Experts",),
        inert=INERT_ROPE,
    ),
    family(
        "deepseek_v3",
        "DeepseekV3",
        flags=without_rope(),
        rope={},
        mlp="LigerQwen3MoeSwiGLUMLP",
        experts=("DeepseekV3Experts", "DeepseekV3NaiveMoe"),
        inert=INERT_ROPE,
    ),
    family(
        "deepseek_v4",
        "DeepseekV4",
        flags=without_rope(swiglu=False),
        rope={},
        mlp=None,
        inert={**INERT_ROPE, "swiglu": "the experts of {name} clamp their gate, for which there is no kernel"},
    ),
    Family(
        "nemotron",
        "nemotron",
        ("nemotron",),
        flags={"relu_squared": True, "cross_entropy": False, "fused_linear_cross_entropy": True},
        activations={"relu2": "LigerReLUSquared"},
        heads={"NemotronForCausalLM": ("nemotron", "lce_forward")},
        takes_more=True,
    ),
    vision_language(
        "muse_glimmer",
        "MuseGlimmer",
        ("MuseGlimmerTextModel",),
        model_types=("muse_glimmer",),
        flags={
            "rope": True,
            "cross_entropy": False,
            "fused_linear_cross_entropy": True,
            "layer_norm": True,
            "rms_norm": True,
            "swiglu": True,
        },
        rope=ROPE,
        norms={"MuseGlimmerRMSNorm": MUSE, "MuseGlimmerTextCenteredRMSNorm": MUSE_CENTERED},
        mlps={"MuseGlimmerTextMLP": "LigerSwiGLUMLPForMuseGlimmer"},
        layer_norms=("muse_glimmer",),
    ),
    Family(
        "llama4",
        "llama4",
        ("llama4_text", "llama4"),
        flags={**STANDARD, "layer_norm": True},
        after_model=("layer_norm",),
        rope={
            "apply_rotary_emb": "liger_llama4_text_rotary_pos_emb",
            "vision_apply_rotary_emb": "liger_llama4_vision_rotary_pos_emb",
        },
        norms={"Llama4TextRMSNorm": PLAIN},
        mlps={"Llama4TextMLP": "LigerSwiGLUMLP"},
        layer_norms=("llama4",),
        heads={"Llama4ForCausalLM": ("llama4", "lce_forward")},
        instances=("Llama4ForConditionalGeneration", "Llama4ForCausalLM", "Llama4TextModel"),
        refusal=ValueError,
    ),
    Family(
        "mllama",
        "mllama",
        ("mllama", "mllama_text_model"),
        flags={
            "rope": True,
            "cross_entropy": False,
            "fused_linear_cross_entropy": True,
            "layer_norm": True,
            "rms_norm": True,
            "swiglu": True,
        },
        rope=ROPE,
        norms={"MllamaTextRMSNorm": PLAIN},
        mlps={"MllamaTextMLP": "LigerSwiGLUMLP"},
        layer_norms=("mllama",),
        heads={
            "MllamaForCausalLM": ("mllama", "lce_forward"),
            "MllamaForConditionalGeneration": ("mllama", "lce_forward"),
        },
        instances=("MllamaForConditionalGeneration", "MllamaForCausalLM", "MllamaTextModel"),
        refusal=ValueError,
    ),
    Family(
        "llava",
        "llava",
        ("llava",),
        flags={"cross_entropy": False, "fused_linear_cross_entropy": True},
        heads={"LlavaForConditionalGeneration": ("llava", "lce_forward")},
        tower_configs=("text_config", "vision_config"),
        takes_more=True,
    ),
    Family(
        "internvl",
        "internvl",
        ("internvl",),
        flags={"cross_entropy": False, "fused_linear_cross_entropy": True, "rms_norm": True, "layer_norm": True},
        norms={"InternVLVisionRMSNorm": PLAIN},
        layer_norms=("internvl",),
        heads={"InternVLForConditionalGeneration": ("internvl", "lce_forward")},
        tower_configs=("text_config",),
        instances=("InternVLForConditionalGeneration", "InternVLModel"),
        refusal=TypeError,
        takes_more=True,
    ),
    Family(
        "smolvlm",
        "smolvlm",
        ("smolvlm",),
        flags={"cross_entropy": False, "fused_linear_cross_entropy": True, "rms_norm": True, "layer_norm": True},
        norms={"SmolVLMRMSNorm": PLAIN},
        layer_norms=("smolvlm",),
        heads={"SmolVLMForConditionalGeneration": ("smolvlm", "lce_forward")},
        tower_configs=("text_config",),
        instances=("SmolVLMForConditionalGeneration", "SmolVLMModel"),
        refusal=TypeError,
        takes_more=True,
    ),
    Family(
        "pixtral",
        "pixtral",
        ("pixtral",),
        flags={"rope": True, "rms_norm": True, "swiglu": True},
        rope=ROPE,
        norms={"PixtralRMSNorm": PLAIN},
        mlps={"PixtralMLP": "LigerSwiGLUMLP"},
        instances=("PixtralVisionModel",),
        refusal=ValueError,
    ),
)

BY_NAME = {row.name: row for row in FAMILIES}
BY_MODEL_TYPE = {model_type: row for row in FAMILIES for model_type in row.model_types}
# Classes whose forward can be replaced by the fused loss.
HEADS = frozenset(name for row in FAMILIES for name in row.heads)
