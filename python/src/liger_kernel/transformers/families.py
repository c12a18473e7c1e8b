"""Which kernel stands in for which class of a model: one row per model family.

A row names classes and functions of `transformers.models.<directory>.modeling_<directory>` and what replaces them.
Modules of an existing model are found by these class names wherever they sit, so a new release may move them. Names
that an installed release does not have are reported and left alone: a row lists those of all supported releases.

The public functions, the modules of `model` and the tests' tiny models are made from these rows.
"""

from liger_kernel.transformers.family import EXAONE4
from liger_kernel.transformers.family import GEGLU
from liger_kernel.transformers.family import GEMMA
from liger_kernel.transformers.family import GEMMA2
from liger_kernel.transformers.family import GEMMA3
from liger_kernel.transformers.family import GEMMA4
from liger_kernel.transformers.family import GLM4
from liger_kernel.transformers.family import INERT_ROPE
from liger_kernel.transformers.family import MROPE
from liger_kernel.transformers.family import MUSE
from liger_kernel.transformers.family import MUSE_CENTERED
from liger_kernel.transformers.family import NO_ROPE
from liger_kernel.transformers.family import NORMED
from liger_kernel.transformers.family import NORMED_GEGLU
from liger_kernel.transformers.family import OLMO2
from liger_kernel.transformers.family import PLAIN
from liger_kernel.transformers.family import QWEN3_NEXT
from liger_kernel.transformers.family import ROPE
from liger_kernel.transformers.family import STANDARD
from liger_kernel.transformers.family import VISION_ROPE
from liger_kernel.transformers.family import Family
from liger_kernel.transformers.family import family
from liger_kernel.transformers.family import vision_language
from liger_kernel.transformers.family import without_rope

SIGLIP = ("siglip",)

FAMILIES = (
    family("llama", "Llama"),
    family("smollm3", "SmolLM3"),
    family("mistral", "Mistral"),
    family("ministral", "Ministral"),
    family("cwm", "Cwm"),
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
        flags=NORMED_GEGLU,
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
        mlps={"Gemma4TextMLP": "LigerGEGLUMLP"},
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
        flags=without_rope(NORMED_GEGLU, layer_norm=False),
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
        flags=NORMED_GEGLU,
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
        flags=NORMED,
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
        flags=NORMED,
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
