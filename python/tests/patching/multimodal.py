"""Tiny vision-language models, each with a batch that has images in it."""

import torch

from transformers import AutoConfig

from patching.tiny import BATCH
from patching.tiny import HEADS
from patching.tiny import MROPE
from patching.tiny import QWEN_VISION
from patching.tiny import SIGLIP
from patching.tiny import TEXT
from patching.tiny import randomised
from patching.tiny import text_batch
from patching.tiny import transformers_class

IMAGE = 100
TEXT_PART = {**TEXT, **HEADS}


def text_of(model_type, **more):
    return {"model_type": model_type, **TEXT_PART, **more}


# Family -> (class, configuration).
MODELS = {
    "qwen2_vl": (
        "Qwen2VLForConditionalGeneration",
        dict(
            text_config=text_of("qwen2_vl_text", rope_parameters=MROPE, rope_scaling=MROPE),
            vision_config=dict(depth=2, embed_dim=32, hidden_size=32, num_heads=4, patch_size=4, spatial_merge_size=2),
            image_token_id=IMAGE,
            vision_start_token_id=98,
            vision_end_token_id=99,
            video_token_id=97,
        ),
    ),
    "qwen2_5_vl": (
        "Qwen2_5_VLForConditionalGeneration",
        dict(
            text_config=text_of("qwen2_5_vl_text", rope_parameters=MROPE, rope_scaling=MROPE),
            vision_config={**QWEN_VISION, "out_hidden_size": 32, "window_size": 16, "fullatt_block_indexes": [1]},
            image_token_id=IMAGE,
            vision_start_token_id=98,
            vision_end_token_id=99,
            video_token_id=97,
        ),
    ),
    "qwen3_vl": (
        "Qwen3VLForConditionalGeneration",
        dict(
            text_config=text_of("qwen3_vl_text", rope_parameters=MROPE, rope_scaling=MROPE),
            vision_config={
                **QWEN_VISION,
                "out_hidden_size": 32,
                "deepstack_visual_indexes": [0, 1],
                "num_position_embeddings": 16,
            },
            image_token_id=IMAGE,
            vision_start_token_id=98,
            vision_end_token_id=99,
            video_token_id=97,
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
}


def multimodal_model(family, dtype=torch.float32, seed=0):
    """A model of the classes that are in place when this is called."""
    class_name, more = MODELS[family]
    cls = transformers_class(class_name)
    config = AutoConfig.for_model(family, **more)
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    return randomised(cls(config), seed).to(dtype).train()


def multimodal_batch(family, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    batch = text_batch(seed, vocabulary=93)
    ids, labels = batch["input_ids"], batch["labels"]
    if family.startswith("qwen"):
        # A 4 x 4 grid of patches, merged two by two: four tokens an image.
        place(ids, labels, [98, IMAGE, IMAGE, IMAGE, IMAGE, 99])
        depth = dict(qwen2_vl=2, qwen2_5_vl=2, qwen3_vl=2)[family]
        batch["pixel_values"] = torch.randn(BATCH * 16, 3 * depth * 4 * 4, generator=generator).to(dtype)
        batch["image_grid_thw"] = torch.tensor([[1, 4, 4]] * BATCH)
        batch["mm_token_type_ids"] = (ids == IMAGE).long()
    elif family == "mllama":
        batch["pixel_values"] = torch.randn(BATCH, 1, 4, 3, 28, 28, generator=generator).to(dtype)
        batch["aspect_ratio_ids"] = torch.ones(BATCH, 1, dtype=torch.long)
        batch["aspect_ratio_mask"] = torch.tensor([[[1, 0, 0, 0]]] * BATCH)
        mask = torch.zeros(BATCH, ids.shape[1], 1, 4, dtype=torch.long)
        mask[:, 2:, :, 0] = 1
        batch["cross_attention_mask"] = mask
    else:
        place(ids, labels, [IMAGE] * 4)
        batch["pixel_values"] = torch.randn(BATCH, 3, 28, 28, generator=generator).to(dtype)
        if family in ("gemma3", "paligemma"):
            batch["token_type_ids"] = (ids == IMAGE).long() if family == "gemma3" else torch.zeros_like(ids)
    return batch


def place(ids, labels, tokens):
    """Puts an image's tokens at the front of every row; they are not predicted."""
    ids[:, : len(tokens)] = torch.tensor(tokens)
    labels[:, : len(tokens)] = -100
