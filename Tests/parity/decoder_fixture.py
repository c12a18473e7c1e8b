"""Makes tiny random decoders with transformers and records what PyTorch computes with them.

Usage: python decoder_fixture.py OUTPUT_FOLDER

For each variant a folder with a checkpoint (config.json, model.safetensors), `step.safetensors` (inputs,
labels, logits, loss, the gradient of every parameter) and `losses.json` (the losses of 20 AdamW steps on
one batch and the optimiser's options). Where routers have a loss, `padded.safetensors` has the same of rows that
are padded on the right, and their `attention_mask`.
"""

import copy
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

# Grouped-query heads, odd sizes, tied and separate heads, a token whose embedding gets no gradient, biases, and
# Llama 3's stretched rotary frequencies.
PADDING = 7
VARIANTS = {
    "grouped": dict(model_type="llama", num_key_value_heads=2, tie_word_embeddings=False),
    "tied": dict(model_type="llama", num_key_value_heads=4, tie_word_embeddings=True),
    "padded": dict(model_type="llama", num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=PADDING),
    "biased": dict(
        model_type="llama", num_key_value_heads=2, tie_word_embeddings=False, attention_bias=True, mlp_bias=True
    ),
    "qwen3": dict(
        model_type="qwen3", num_key_value_heads=2, head_dim=14, tie_word_embeddings=False, attention_bias=True
    ),
    "mistral": dict(model_type="mistral", num_key_value_heads=2, head_dim=14, sliding_window=37),
    "linear": dict(model_type="llama", rope_scaling=dict(rope_type="linear", factor=3.0)),
    "dynamic": dict(model_type="llama", rope_scaling=dict(rope_type="dynamic", factor=3.0)),
    "yarn": dict(
        model_type="llama",
        rope_theta=500.0,
        rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=4.0),
    ),
    # The sequence lies beyond the first context, so that the second set of factors counts.
    "longrope": dict(
        model_type="llama",
        rope_scaling=dict(
            rope_type="longrope",
            short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
            long_factor=[1.0, 1.5, 2.0, 3.0, 5.0, 8.0],
            factor=4.0,
            original_max_position_embeddings=32,
        ),
    ),
    "qwen2": dict(model_type="qwen2", num_key_value_heads=2, tie_word_embeddings=True),
    "smollm3": dict(
        model_type="smollm3", num_key_value_heads=2, no_rope_layers=[1, 0, 1], rope_theta=5000.0, pad_token_id=PADDING,
        bos_token_id=1, eos_token_id=2,
    ),
    "olmo2": dict(model_type="olmo2", num_key_value_heads=2, pad_token_id=PADDING, eos_token_id=2),
    "phi3": dict(
        model_type="phi3",
        num_key_value_heads=2,
        original_max_position_embeddings=64,
        pad_token_id=PADDING,
        bos_token_id=1,
        eos_token_id=2,
        rope_scaling=dict(
            rope_type="longrope",
            short_factor=[1.0, 1.1, 1.2, 1.3, 1.4, 1.5],
            long_factor=[1.0, 1.5, 2.0, 3.0, 5.0, 8.0],
        ),
    ),
    "granite": dict(
        model_type="granite", num_key_value_heads=2, embedding_multiplier=3.0, attention_multiplier=0.2,
        residual_multiplier=0.7, logits_scaling=1.6, attention_bias=True, mlp_bias=True,
    ),
    "gemma": dict(model_type="gemma", num_key_value_heads=2, head_dim=14, pad_token_id=PADDING),
    # Windows shorter than the sequence: in all layers, in the last ones, in every other one. The first has heads that the
    # hidden size is no multiple of.
    "windowed": dict(
        model_type="mistral", num_attention_heads=10, num_key_value_heads=2, head_dim=14, sliding_window=9
    ),
    "phi3-windowed": dict(
        model_type="phi3", num_key_value_heads=2, pad_token_id=PADDING, bos_token_id=1, eos_token_id=2, sliding_window=5,
        partial_rotary_factor=0.5,
    ),
    "qwen2-windowed": dict(
        model_type="qwen2", num_key_value_heads=2, use_sliding_window=True, sliding_window=7, max_window_layers=1
    ),
    "qwen3-windowed": dict(
        model_type="qwen3", num_key_value_heads=2, head_dim=14, use_sliding_window=True, sliding_window=7,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
    ),
    "smollm3-windowed": dict(
        model_type="smollm3", num_key_value_heads=2, no_rope_layers=[1, 0, 1], rope_theta=5000.0, pad_token_id=PADDING,
        bos_token_id=1, eos_token_id=2, use_sliding_window=True, sliding_window=7,
    ),
    # Bounds low enough to bend scores.
    "gemma2": dict(
        model_type="gemma2", num_key_value_heads=2, head_dim=14, pad_token_id=PADDING, sliding_window=8,
        query_pre_attn_scalar=5, attn_logit_softcapping=1.5, final_logit_softcapping=2.0,
    ),
    "gemma3": dict(
        model_type="gemma3_text", num_key_value_heads=2, head_dim=14, pad_token_id=PADDING, sliding_window=8,
        query_pre_attn_scalar=20, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=dict(
            full_attention=dict(rope_type="linear", factor=8.0, rope_theta=50000.0),
            sliding_attention=dict(rope_type="default", rope_theta=700.0),
        ),
    ),
    "glm4": dict(
        model_type="glm4", num_key_value_heads=2, head_dim=20, pad_token_id=PADDING, eos_token_id=2,
        partial_rotary_factor=0.6,
    ),
    "gpt2": dict(
        model_type="gpt2", n_inner=100, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2,
        scale_attn_by_inverse_layer_idx=True,
    ),
    # Experts, whose routers have a loss or none; a window; a token for one expert alone; blocks without experts.
    "mixtral": dict(
        model_type="mixtral", num_key_value_heads=2, num_local_experts=5, num_experts_per_tok=2, sliding_window=9,
        output_router_logits=True, router_aux_loss_coef=0.5,
    ),
    "mixtral-one": dict(
        model_type="mixtral", num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=1,
        output_router_logits=True, router_aux_loss_coef=0.2,
    ),
    "mixtral-ties": dict(model_type="mixtral", num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=4),
    "qwen3-moe": dict(
        model_type="qwen3_moe", num_key_value_heads=2, head_dim=14, num_experts=7, num_experts_per_tok=3,
        moe_intermediate_size=19, norm_topk_prob=True, mlp_only_layers=[1], attention_bias=True,
        output_router_logits=True, router_aux_loss_coef=0.3,
    ),
    "qwen3-moe-idle": dict(
        model_type="qwen3_moe", num_key_value_heads=2, num_experts=16, num_experts_per_tok=2, moe_intermediate_size=24,
        norm_topk_prob=False, decoder_sparse_step=2, use_sliding_window=True, sliding_window=7,
    ),
    "stretched": dict(
        model_type="llama",
        num_key_value_heads=1,
        tie_word_embeddings=False,
        rope_theta=500000.0,
        rope_scaling=dict(
            rope_type="llama3",
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=16,
        ),
    ),
}

BATCH, SEQUENCE, VOCABULARY = 3, 37, 211
# Of padded rows, one without padding. No window is all padding: transformers makes NaN of that.
LENGTHS = (31, 37, 30)
# Experts whose scores are the same for every token, by variant.
EQUAL_EXPERTS = {"mixtral-ties": (1, 2), "qwen3-moe-idle": (3, 7)}
OPTIMISER = dict(lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
STEPS = 20


def make_model(options):
    sizes = dict(
        vocab_size=VOCABULARY,
        hidden_size=48,
        intermediate_size=100,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.1,
    )
    if options["model_type"] == "gpt2":
        del sizes["intermediate_size"]
    config = AutoConfig.for_model(**{**sizes, **options})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager")
    # Weights of norms start at one and biases at zero, which would hide a lost factor or term.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and name.endswith(".weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith(".bias"):
                parameter.uniform_(-0.5, 0.5)
    return model


def tie(model, experts, idle):
    """Makes scores of experts equal; those of idle ones 0, which others exceed."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("mlp.gate.weight"):
                for expert in experts:
                    parameter[expert] = 0 if idle else parameter[experts[0]]


def stored_name(model, name):
    """What a parameter is called in checkpoints, of which experts are parts."""
    return name.replace(".mlp.", ".block_sparse_moe.") if model.config.model_type == "mixtral" else name


def forward(model, ids, labels, mask=None):
    """Logits, and the loss with that of routers if the configuration asks for it. Labels are shifted already."""
    output = model(input_ids=ids, attention_mask=mask)
    loss = torch.nn.functional.cross_entropy(
        output.logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
    if getattr(model.config, "output_router_logits", False):
        loss = loss + model.config.router_aux_loss_coef * output.aux_loss
    return output.logits, loss


def record(model, ids, labels, file, mask=None):
    """In float64 where transformers does not ask for fp32: its own rounding in fp32 is half of what tests allow."""
    exact = copy.deepcopy(model).double()
    logits, loss = forward(exact, ids, labels, mask)
    loss.backward()
    tensors = {"input_ids": ids, "labels": labels, "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for name, parameter in exact.named_parameters():
        tensors["gradient." + stored_name(model, name)] = parameter.grad.detach()
    if mask is not None:
        tensors["attention_mask"] = mask.int()
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


def train(model, ids, labels):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [dict(params=decayed), dict(params=others, weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, **OPTIMISER)
    losses = []
    for _ in range(STEPS):
        _, loss = forward(model, ids, labels)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return losses


def main(folder):
    torch.set_num_threads(1)
    for number, (name, options) in enumerate(VARIANTS.items()):
        torch.manual_seed(number)
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        model = make_model(options)
        if name in EQUAL_EXPERTS:
            tie(model, EQUAL_EXPERTS[name], idle=name.endswith("idle"))
        model.save_pretrained(target)
        ids = torch.randint(0, VOCABULARY, (BATCH, SEQUENCE))
        ids[1, 3:6] = PADDING
        labels = torch.randint(0, VOCABULARY, (BATCH, SEQUENCE))
        labels[0, 5:9] = -100
        labels[2, -1] = -100
        record(model, ids, labels, target / "step.safetensors")
        if getattr(model.config, "output_router_logits", False):
            mask = (torch.arange(SEQUENCE) < torch.tensor(LENGTHS).unsqueeze(1)).long()
            record(model, ids * mask, torch.where(mask == 1, labels, -100), target / "padded.safetensors", mask)
        losses = train(model, ids, labels)
        (target / "losses.json").write_text(json.dumps(dict(losses=losses, **OPTIMISER)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
