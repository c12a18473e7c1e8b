"""Several sequences in one row, told apart by positions that begin at 0 again: no sequence sees another.

Attention masks them, which is transformers' or its kernels' work; what a patch changes around it, rotary embeddings
by position and the loss over the row, must leave each sequence as it is by itself.
"""

import pytest
import torch

from transformers.utils import is_flash_attn_2_available
from transformers.utils import is_flash_attn_3_available

from patching import every
from patching import tiny

LENGTHS = 7, 1, 12, 5
# Heads of 16, the smallest that the kernels of attention have.
SIZES = dict(hidden_size=64, num_attention_heads=4, num_key_value_heads=2)
IMPLEMENTATIONS = {
    "sdpa": True,
    "flex_attention": torch.cuda.is_available(),
    "flash_attention_2": is_flash_attn_2_available(),
    "flash_attention_3": is_flash_attn_3_available(),
}


def packed(device, lengths=LENGTHS):
    """A row of sequences; nothing is learnt from the first token of a sequence, which the one before it predicts."""
    ids = torch.randint(3, tiny.VOCABULARY, (1, sum(lengths)))
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    batch = dict(input_ids=ids, position_ids=positions, labels=torch.where(positions == 0, -100, ids))
    return {name: tensor.to(device) for name, tensor in batch.items()}


def step(model, batch):
    model.zero_grad(set_to_none=True)
    output = model(**batch, use_cache=False)
    output.loss.backward()
    return output.loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def close(a, b, bound):
    assert (a.double() - b.double()).abs().max().item() <= bound * max(b.abs().max().item(), 1e-2)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "phi3"])
def test_packed_sequences(device, family, implementation):
    if not IMPLEMENTATIONS[implementation] or (device == "cpu" and implementation != "sdpa"):
        pytest.skip(f"{implementation} does not run on {device} here")
    # Flash Attention has no fp32.
    dtype = torch.bfloat16 if "flash" in implementation else torch.float32
    bound = 3e-2 if dtype == torch.bfloat16 else 3e-5
    sizes = SIZES | ({"head_dim": 16} if family in ("qwen3", "mistral") else {})
    model = tiny.text_model(family, dtype, **sizes).to(device)
    model.set_attn_implementation(implementation)
    batch = packed(device)
    plain_loss, plain_gradients = step(model, batch)
    every.apply(model, **every.FUSED)
    loss, gradients = step(model, batch)
    close(loss, plain_loss, bound)
    assert set(gradients) == set(plain_gradients)
    for name, gradient in gradients.items():
        close(gradient, plain_gradients[name], 3 * bound)

    model.eval()
    with torch.no_grad():
        whole = model(**{name: batch[name] for name in ("input_ids", "position_ids")}, use_cache=False).logits
        alone = [
            model(input_ids=ids, use_cache=False).logits for ids in batch["input_ids"].split(LENGTHS, dim=1)
        ]
    close(whole, torch.cat(alone, dim=1), bound)
