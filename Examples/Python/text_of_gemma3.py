"""Saves the text part of a Gemma 3 that reads images too, for `liger train` to start from.

    python Examples/Python/text_of_gemma3.py gemma-3-4b-it gemma-3-4b-text
    python Examples/Python/text_of_gemma3.py tiny gemma-text            of a tiny one with random weights
"""

import os
import sys

import torch
import transformers

import tiny


def tiny_whole(words):
    """A tiny Gemma 3 with random weights."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4)
    text = dict(sizes, vocab_size=len(words) + 2, head_dim=16, num_key_value_heads=2, max_position_embeddings=128,
                sliding_window=32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    images = dict(sizes, image_size=28, patch_size=14)
    return transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(
        text_config=text, vision_config=images, mm_tokens_per_image=4, image_token_index=len(words),
        boi_token_index=len(words) + 1, eoi_token_index=len(words) + 1))


def main(source, target):
    if source == "tiny":
        words = tiny.tokenizer()
        whole = tiny_whole(words)
    else:
        words = transformers.AutoTokenizer.from_pretrained(source)
        whole = transformers.AutoModelForImageTextToText.from_pretrained(source, dtype="auto")
    # Without memory: its parts are replaced.
    with torch.device("meta"):
        text = transformers.Gemma3ForCausalLM(whole.config.text_config)
    text.model, text.lm_head = whole.model.language_model, whole.lm_head
    text.save_pretrained(target)
    words.save_pretrained(target)
    size = sum(os.path.getsize(os.path.join(target, name)) for name in os.listdir(target))
    print(f"{target}: {text.num_parameters():,} parameters, {size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
