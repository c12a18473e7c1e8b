"""Small models under recomputation by budget, and their steps: what its tests share."""

import copy

import pytest
import torch
import transformers

import liger_kernel

from patching import tiny
from patching.every import apply

TOKENS = 24


def family(name, attention="sdpa", patched=True, **changes):
    def make():
        model = tiny.text_model(name, **{"num_hidden_layers": 3, **changes})
        model.set_attn_implementation(attention)
        if patched:
            apply(model)
        return model

    return make


def without_row():
    """A family that this package has no row for: its norms, gates and attention are torch's."""
    config = transformers.GPT2Config(
        vocab_size=tiny.VOCABULARY, n_embd=32, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2,
        attn_pdrop=0.0, embd_pdrop=0.1, resid_pdrop=0.1,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).train()


def with_lora():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["q_proj", "down_proj"], r=4, lora_dropout=0.2, init_lora_weights=False)
    return peft.get_peft_model(family("llama")(), config).train()


def frozen():
    model = family("llama")()
    model.model.embed_tokens.requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layers.1" not in name and "q_proj" not in name)
    return model


MODELS = {
    "llama": family("llama"),
    "llama, eager attention": family("llama", attention="eager"),
    "llama, attention drops out": family("llama", attention_dropout=0.2),
    "llama, eager attention drops out": family("llama", attention="eager", attention_dropout=0.2),
    "llama, unpatched": family("llama", patched=False),
    "llama, tied weights": family("llama", tie_word_embeddings=True),
    "qwen3": family("qwen3"),
    # Norms after attention and MLP, which need what these give.
    "gemma2": family("gemma2", attention="eager"),
    "gemma": family("gemma"),
    "mixtral": family("mixtral", attention="eager"),
    "without a row": without_row,
    "lora": with_lora,
    "frozen": frozen,
}


def batch_of(tokens=TOKENS, rows=2):
    ids = torch.randint(3, tiny.VOCABULARY, (rows, tokens), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids}


def gradients(model, batch, backward=lambda loss: loss.backward(), forward=lambda model, batch: model(**batch).loss):
    """Of one step whose random numbers are those of every other."""
    torch.manual_seed(5)
    model.zero_grad()
    loss = forward(model, batch)
    backward(loss)
    return [loss.detach()] + [p.grad.clone() for p in model.parameters() if p.grad is not None]


def checkpointed(model):
    model = copy.deepcopy(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def recomputed(model, budget):
    model = copy.deepcopy(model)
    return model, liger_kernel.recompute(model, budget, verbose=False)


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def whole_budget(model, batch):
    """The bytes of everything that may be kept."""
    model, recomputation = recomputed(model, "1TiB")
    for _ in range(2):
        gradients(model, batch)
    return recomputation.plan.kept_bytes
