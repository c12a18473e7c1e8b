"""Tiny vision-language models, each with a batch that has images in it."""

import copy

import torch

from transformers import AutoConfig

from patching.tiny import BATCH
from patching.tiny import EXPERTS
from patching.tiny import GEMMA4
from patching.tiny import HEADS
from patching.tiny import LINEAR_ATTENTION
from patching.tiny import MROPE
from patching.tiny import QWEN_VISION
from patching.tiny import SIGLIP
from patching.tiny import TEXT
from patching.tiny import TEXT_MODELS
from patching.tiny import in_type
from patching.tiny import randomised
from patching.tiny import text_batch
from patching.tiny import transformers_class

IMAGE = 100
TEXT_PART = {**TEXT, **HEADS}


def text_of(model_type, **more):
    return {"model_type": model_type, **TEXT_PART, **copy.deepcopy(more)}


QWEN_TOKENS = dict(image_token_id=IMAGE, vision_start_token_id=98, vision_end_token_id=99, video_token_id=97)
GLM_TOKENS = dict(
    image_token_id=IMAGE,
    image_start_token_id=98,
    image_end_token_id=99,
    video_token_id=97,
    video_start_token_id=95,
    video_end_token_id=96,
)
QWEN3_VISION = {**QWEN_VISION, "out_hidden_size": 32, "num_position_embeddings": 16}
GLM_VISION = {**QWEN_VISION, "out_hidden_size": 32, "image_size": 16}
PARTIAL_MROPE = {**MROPE, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.5}
# Releases before 5 have the last two.
GLM_ROPE = dict(rope_parameters=PARTIAL_MROPE, rope_scaling=PARTIAL_MROPE, partial_rotary_factor=0.5)

# Family -> (class, configuration).
MODELS = {
    "qwen2_vl": (
        "Qwen2VLForConditionalGeneration",
        dict(
            text_config=text_of("qwen2_vl_text", rope_parameters=MROPE, rope_scaling=MROPE),
            vision_config=dict(depth=2, embed_dim=32, hidden_size=32, num_heads=4, patch_size=4, spatial_merge_size=2),
            **QWEN_TOKENS,
        ),
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLForConditionalGeneration",
        dict(
            text_config=text_of("qwen2_5_vl_text", rope_parameters=MROPE, rope_scaling=MROPE),
            vision_config={**QWEN_VISION, "out_hidden_size": 32, "window_size": 16, "fullatt_block_indexes": [1]},
            **QWEN_TOKENS,
        ),
    ),
    "qwen3_vl": (
        "Qwen3VLForConditionalGeneration",
        dict(
            text_config=text_of("qwen3_vl_text", rope_parameters=MROPE, rope_scaling=MROPE),
            vision_config={**QWEN3_VISION, "deepstack_visual_indexes": [0, 1]},
            **QWEN_TOKENS,
        ),
    ),
    "gemma3": (
        "Gemma3ForConditionalGeneration",
        dict(
            text_config=text_of("gemma3_text"),
            vision_config={**SIGLIP, "model_type": "siglip_vision_model", "vision_use_head": False},
            mm_tokens_per_image=4,
            image_token_index=IMAGE,
            boi_token_index=98,
            eoi_token_index=99,
        ),
    ),
    "paligemma": (
        "PaliGemmaForConditionalGeneration",
        dict(
            text_config=text_of("gemma2", final_logit_softcapping=3.0),
            vision_config={**SIGLIP, "model_type": "siglip_vision_model", "vision_use_head": False},
            projection_dim=32,
            image_token_index=IMAGE,
            image_token_id=IMAGE,
        ),
    ),
    "llava": (
        "LlavaForConditionalGeneration",
        dict(
            text_config=text_of("llama"),
            vision_config={**SIGLIP, "model_type": "clip_vision_model"},
            image_token_index=IMAGE,
            image_token_id=IMAGE,
            image_seq_length=4,
        ),
    ),
    "mllama": (
        "MllamaForConditionalGeneration",
        dict(
            text_config=dict(
                {**TEXT, "vocab_size": 93},
                model_type="mllama_text_model",
                cross_attention_layers=[1],
                rope_parameters=dict(rope_type="default", rope_theta=10000.0),
                rope_scaling=dict(rope_type="default"),
            ),
            vision_config=dict(
                hidden_size=32,
                intermediate_size=40,
                num_hidden_layers=2,
                num_global_layers=1,
                attention_heads=4,
                image_size=28,
                patch_size=14,
                intermediate_layers_indices=[0],
                vision_output_dim=64,
                max_num_tiles=4,
                supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]],
            ),
            image_token_index=93,
        ),
    ),
    "qwen3_vl_moe": (
        "Qwen3VLMoeForConditionalGeneration",
        dict(
            text_config=text_of(
                "qwen3_vl_moe_text", **EXPERTS, mlp_only_layers=[1], rope_parameters=MROPE, rope_scaling=MROPE
            ),
            vision_config={**QWEN3_VISION, "deepstack_visual_indexes": [0, 1]},
            **QWEN_TOKENS,
        ),
    ),
    "qwen3_5": (
        "Qwen3_5ForConditionalGeneration",
        dict(
            text_config=text_of("qwen3_5_text", **LINEAR_ATTENTION, rope_parameters=PARTIAL_MROPE),
            vision_config=QWEN3_VISION,
            **QWEN_TOKENS,
        ),
    ),
    "qwen3_5_moe": (
        "Qwen3_5MoeForConditionalGeneration",
        dict(
            text_config=text_of(
                "qwen3_5_moe_text",
                **LINEAR_ATTENTION,
                **EXPERTS,
                shared_expert_intermediate_size=24,
                rope_parameters=PARTIAL_MROPE,
            ),
            vision_config=QWEN3_VISION,
            **QWEN_TOKENS,
        ),
    ),
    "glm4v": (
        "Glm4vForConditionalGeneration",
        dict(
            text_config=text_of("glm4v_text", **GLM_ROPE),
            vision_config=GLM_VISION,
            **GLM_TOKENS,
        ),
    ),
    "glm4v_moe": (
        "Glm4vMoeForConditionalGeneration",
        dict(
            text_config=text_of(
                "glm4v_moe_text",
                n_routed_experts=4,
                n_shared_experts=1,
                num_experts_per_tok=2,
                moe_intermediate_size=24,
                first_k_dense_replace=1,
                **GLM_ROPE,
            ),
            vision_config=GLM_VISION,
            **GLM_TOKENS,
        ),
    ),
    "gemma4": (
        "Gemma4ForConditionalGeneration",
        dict(
            text_config=text_of("gemma4_text", **GEMMA4),
            vision_config=dict(
                hidden_size=32,
                intermediate_size=40,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=4,
                head_dim=8,
                patch_size=4,
                pooling_kernel_size=2,
                position_embedding_size=16,
            ),
            audio_config=None,
            image_token_id=IMAGE,
            boi_token_id=98,
            eoi_token_id=99,
        ),
    ),
    "muse_glimmer": (
        "MuseGlimmerForConditionalGeneration",
        dict(
            text_config=text_of(
                "muse_glimmer_text",
                layer_types=["sliding_attention", "full_attention"],
                layer_rope_theta=[10000.0, 0],
                final_logit_softcapping=3.0,
                output_multiplier=0.7,
            ),
            vision_config=dict(
                hidden_size=32,
                intermediate_size=40,
                num_hidden_layers=2,
                num_attention_heads=4,
                patch_size=4,
                pos_emb_height=4,
                pos_emb_width=4,
                max_position_embeddings=16,
            ),
            out_hidden_size=128,
            projector_hidden_size=32,
            image_token_id=IMAGE,
            video_token_id=97,
        ),
    ),
    "internvl": (
        "InternVLForConditionalGeneration",
        dict(
            text_config=text_of("qwen2"),
            vision_config=dict(
                hidden_size=32,
                intermediate_size=40,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=[56, 56],
                patch_size=[14, 14],
                use_qk_norm=True,
            ),
            image_token_id=IMAGE,
            image_seq_length=4,
        ),
    ),
    "smolvlm": (
        "SmolVLMForConditionalGeneration",
        dict(
            text_config=text_of("llama"),
            vision_config={**SIGLIP, "image_size": 56},
            image_token_id=IMAGE,
        ),
    ),
    # The vision tower of another family under a head that has a loss.
    "pixtral": (
        "LlavaForConditionalGeneration",
        dict(
            text_config=text_of("mistral"),
            vision_config={**SIGLIP, "model_type": "pixtral", "hidden_act": "silu"},
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
            image_token_index=IMAGE,
            image_token_id=IMAGE,
            image_seq_length=4,
        ),
    ),
    "llama4": (
        "Llama4ForConditionalGeneration",
        dict(
            text_config=text_of(
                "llama4_text", **{k: v for k, v in TEXT_MODELS["llama4_text"][2].items() if k != "head_dim"}
            ),
            vision_config=dict(
                hidden_size=32,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                image_size=56,
                patch_size=14,
                vision_output_dim=32,
                projector_input_dim=32,
                projector_output_dim=32,
                pixel_shuffle_ratio=0.5,
            ),
            image_token_index=IMAGE,
            boi_token_index=98,
            eoi_token_index=99,
        ),
    ),
}
# Names above that are not the model type of the configuration.
MODEL_TYPES = {"pixtral": "llava"}
# Families whose images are rows of patches, of two frames each, with a grid.
PATCHES = {
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
    *("glm4v", "glm4v_moe", "muse_glimmer"),
}


def multimodal_model(family, dtype=torch.float32, seed=0):
    """A model of the classes that are in place when this is called."""
    class_name, more = MODELS[family]
    cls = transformers_class(class_name)
    config = AutoConfig.for_model(MODEL_TYPES.get(family, family), **copy.deepcopy(more))
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    return in_type(randomised(cls(config), seed), dtype).train()


def multimodal_batch(family, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    batch = text_batch(seed, vocabulary=93)
    ids, labels = batch["input_ids"], batch["labels"]
    if family in PATCHES:
        # A 4 x 4 grid of patches, merged two by two: four tokens an image.
        place(ids, labels, [98, IMAGE, IMAGE, IMAGE, IMAGE, 99])
        batch["pixel_values"] = torch.randn(BATCH * 16, 3 * 2 * 4 * 4, generator=generator).to(dtype)
        batch["image_grid_thw"] = torch.tensor([[1, 4, 4]] * BATCH)
        batch["mm_token_type_ids"] = (ids == IMAGE).long()
    elif family == "mllama":
        batch["pixel_values"] = torch.randn(BATCH, 1, 4, 3, 28, 28, generator=generator).to(dtype)
        batch["aspect_ratio_ids"] = torch.ones(BATCH, 1, dtype=torch.long)
        batch["aspect_ratio_mask"] = torch.tensor([[[1, 0, 0, 0]]] * BATCH)
        mask = torch.zeros(BATCH, ids.shape[1], 1, 4, dtype=torch.long)
        mask[:, 2:, :, 0] = 1
        batch["cross_attention_mask"] = mask
    elif family == "gemma4":
        place(ids, labels, [IMAGE] * 4)
        batch["pixel_values"] = torch.rand(BATCH, 16, 3 * 4 * 4, generator=generator).to(dtype)
        batch["image_position_ids"] = torch.tensor([[[x, y] for y in range(4) for x in range(4)]] * BATCH)
    else:
        place(ids, labels, [IMAGE] * 4)
        side = 56 if family in ("internvl", "smolvlm", "llama4") else 28
        batch["pixel_values"] = torch.randn(BATCH, 3, side, side, generator=generator).to(dtype)
        if family == "smolvlm":
            batch["pixel_values"] = batch["pixel_values"].unsqueeze(1)
        if family == "pixtral":
            batch["image_sizes"] = torch.tensor([[side, side]] * BATCH)
        if family in ("gemma3", "paligemma"):
            batch["token_type_ids"] = (ids == IMAGE).long() if family == "gemma3" else torch.zeros_like(ids)
    return batch


def place(ids, labels, tokens):
    """Puts an image's tokens at the front of every row; they are not predicted."""
    ids[:, : len(tokens)] = torch.tensor(tokens)
    labels[:, : len(tokens)] = -100
