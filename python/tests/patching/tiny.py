"""Tiny random models of every family, and batches for them."""

import copy

import pytest
import torch
import transformers

from transformers import CONFIG_MAPPING
from transformers import AutoConfig

from liger_kernel.transformers.families import FAMILIES

VOCABULARY = 101
TOKENS = 11
BATCH = 3

TEXT = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
HEADS = dict(head_dim=8)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, output_router_logits=True)
SIGLIP = dict(
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    image_size=28,
    patch_size=14,
    projection_dim=32,
)
QWEN_VISION = dict(depth=2, hidden_size=32, intermediate_size=40, num_heads=4, patch_size=4, spatial_merge_size=2)
MROPE = dict(rope_type="default", mrope_section=[2, 1, 1], rope_theta=10000.0)
LINEAR_ATTENTION = dict(
    head_dim=8,
    linear_num_key_heads=2,
    linear_num_value_heads=4,
    linear_key_head_dim=8,
    linear_value_head_dim=8,
    layer_types=["linear_attention", "full_attention"],
)
GEMMA4 = dict(
    head_dim=8,
    global_head_dim=16,
    hidden_size_per_layer_input=8,
    vocab_size_per_layer_input=VOCABULARY,
    layer_types=["sliding_attention", "full_attention"],
    final_logit_softcapping=3.0,
)
LATENT = dict(
    q_lora_rank=16,
    kv_lora_rank=16,
    qk_nope_head_dim=8,
    qk_rope_head_dim=8,
    v_head_dim=8,
    n_routed_experts=4,
    n_shared_experts=1,
    num_experts_per_tok=2,
    moe_intermediate_size=24,
    first_k_dense_replace=1,
    n_group=1,
    topk_group=1,
    num_key_value_heads=4,
)

# Family -> (model type, class, arguments of the configuration beyond TEXT), for those that need some.
DESCRIBED = {
    "mistral": ("mistral", "MistralForCausalLM", HEADS),
    "ministral": ("ministral", "MinistralForCausalLM", {**HEADS, "layer_types": ["full_attention"] * 2}),
    "mixtral": (
        "mixtral",
        "MixtralForCausalLM",
        dict(num_local_experts=4, num_experts_per_tok=2, output_router_logits=True),
    ),
    "qwen3": ("qwen3", "Qwen3ForCausalLM", HEADS),
    "qwen3_moe": ("qwen3_moe", "Qwen3MoeForCausalLM", {**HEADS, **EXPERTS, "mlp_only_layers": [1]}),
    "qwen3_next": (
        "qwen3_next",
        "Qwen3NextForCausalLM",
        {**LINEAR_ATTENTION, **EXPERTS, "shared_expert_intermediate_size": 24},
    ),
    "gemma": ("gemma", "GemmaForCausalLM", HEADS),
    "gemma2": ("gemma2", "Gemma2ForCausalLM", {**HEADS, "final_logit_softcapping": 3.0}),
    "gemma3_text": ("gemma3_text", "Gemma3ForCausalLM", {**HEADS, "final_logit_softcapping": 3.0}),
    "granite": ("granite", "GraniteForCausalLM", dict(logits_scaling=3.0, embedding_multiplier=2.0)),
    "glm4": ("glm4", "Glm4ForCausalLM", {**HEADS, "partial_rotary_factor": 0.5}),
    "gpt_oss": (
        "gpt_oss",
        "GptOssForCausalLM",
        {**HEADS, "num_local_experts": 4, "num_experts_per_tok": 2, "output_router_logits": True},
    ),
    "falcon_h1": (
        "falcon_h1",
        "FalconH1ForCausalLM",
        dict(
            mamba_d_ssm=32,
            mamba_n_heads=4,
            mamba_d_head=8,
            mamba_d_state=8,
            mamba_n_groups=1,
            mamba_chunk_size=8,
            mamba_rms_norm=True,
            mlp_multipliers=[0.7, 1.3],
            lm_head_multiplier=0.6,
        ),
    ),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", HEADS),
    "hunyuan_v1_moe": (
        "hunyuan_v1_moe",
        "HunYuanMoEV1ForCausalLM",
        {**HEADS, "num_experts": 4, "moe_topk": [2, 2], "num_shared_expert": [1, 1], "moe_intermediate_size": [40, 40]},
    ),
    "deepseek_v2": ("deepseek_v2", "DeepseekV2ForCausalLM", {**LATENT, "topk_method": "greedy", "head_dim": 8}),
    "deepseek_v3": ("deepseek_v3", "DeepseekV3ForCausalLM", LATENT),
    # The second layer takes its keys and values from the first, and its MLP is twice as wide.
    "gemma4_text": (
        "gemma4_text",
        "Gemma4ForCausalLM",
        {**GEMMA4, "layer_types": ["full_attention"] * 2, "num_kv_shared_layers": 1, "use_double_wide_mlp": True},
    ),
    "qwen3_5_text": ("qwen3_5_text", "Qwen3_5ForCausalLM", LINEAR_ATTENTION),
    "qwen3_5_moe_text": (
        "qwen3_5_moe_text",
        "Qwen3_5MoeForCausalLM",
        {**LINEAR_ATTENTION, **EXPERTS, "shared_expert_intermediate_size": 24},
    ),
    "deepseek_v4": (
        "deepseek_v4",
        "DeepseekV4ForCausalLM",
        dict(
            head_dim=16,
            partial_rotary_factor=0.5,
            num_key_value_heads=1,
            q_lora_rank=16,
            o_lora_rank=16,
            o_groups=2,
            n_routed_experts=4,
            n_shared_experts=1,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
            output_router_logits=True,
            num_hidden_layers=3,
            layer_types=["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"],
            mlp_layer_types=["hash_moe", "moe", "moe"],
            compress_rates=dict(compressed_sparse_attention=2, heavily_compressed_attention=4),
            index_n_heads=2,
            index_head_dim=16,
            index_topk=4,
        ),
    ),
    # One layer of experts and one without, and one without rotary embeddings.
    "llama4_text": (
        "llama4_text",
        "Llama4ForCausalLM",
        {
            **HEADS,
            "intermediate_size_mlp": 40,
            "num_local_experts": 4,
            "num_experts_per_tok": 1,
            "moe_layers": [1],
            "no_rope_layers": [1, 0],
            "attention_chunk_size": 8,
        },
    ),
    "nemotron": ("nemotron", "NemotronForCausalLM", HEADS),
    "mllama_text_model": (
        "mllama_text_model",
        "MllamaForCausalLM",
        dict(cross_attention_layers=[], rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
    ),
}


def text_models() -> dict:
    """The same for every family of language models: as its row says, where its configuration needs nothing more."""
    described = {model_type for model_type, _, _ in DESCRIBED.values()}
    plain = {
        row.name: (row.model_types[0], *row.heads, {})
        for row in FAMILIES
        if len(row.heads) == 1 and "ForCausalLM" in next(iter(row.heads)) and not described & set(row.model_types)
    }
    return plain | DESCRIBED


TEXT_MODELS = text_models()


def transformers_class(name):
    if not hasattr(transformers, name):
        pytest.skip(f"transformers {transformers.__version__} has no {name}")
    return getattr(transformers, name)


def randomised(model, seed=0):
    """Every parameter random, so that a lost scale, offset or bias shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1 and "weight" in name and parameter.mean().abs() > 0.5:
                # Gemma 4 does not scale attention's scores: the norm of its queries does, or roundings would grow.
                gemma4 = "gemma4" in model.config.model_type and "q_norm" in name
                parameter.copy_((1 + 0.2 * noise) * (parameter.numel() ** -0.5 if gemma4 else 1))
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(noise * (0.7 / parameter.shape[-1] ** 0.5))
    return model


def text_config(family, **changes):
    model_type, class_name, more = TEXT_MODELS[family]
    transformers_class(class_name)
    if model_type not in CONFIG_MAPPING:
        pytest.skip(f"transformers {transformers.__version__} makes no configuration of {model_type} by name")
    return AutoConfig.for_model(model_type, **{**TEXT, **copy.deepcopy(more), **changes})


def text_model(family, dtype=torch.float32, seed=0, **changes):
    """A model of the classes that are in place when this is called."""
    config = text_config(family, **changes)
    config._attn_implementation = "eager"
    cls = transformers_class(TEXT_MODELS[family][1])
    torch.manual_seed(seed)
    return in_type(randomised(cls(config), seed), dtype).train()


def in_type(model, dtype):
    """`model.to(dtype)` would drop the imaginary part of rotary embeddings that are kept as complex numbers."""
    return model._apply(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


def text_batch(seed=1, rows=BATCH, tokens=TOKENS, vocabulary=VOCABULARY):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocabulary, (rows, tokens), generator=generator)
    labels = ids.clone()
    labels[0, :4] = -100
    labels[1, -2:] = -100
    return dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
