"""Writes a Llama with random weights and a tokenizer that is learned from the text of this project.

    python Examples/ChatFromDocs/make_model.py FOLDER --layers 8 --hidden 512 --vocabulary 4096
"""

import argparse

from pathlib import Path

import torch
import transformers

from tokenizers import Tokenizer
from tokenizers import decoders
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import trainers

# A turn is its role, the text, and a token that ends it. What the assistant says is marked, so that it alone is
# learned.
TEMPLATE = """\
{%- for message in messages %}
{{- '<|' + message.role + '|>' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{ message.content + eos_token }}{% endgeneration %}
{%- else %}
{{- message.content + eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}
"""
NAMES = ["<pad>", "<end>", "<|user|>", "<|assistant|>"]


def texts(root):
    """What `liger train --data Documentation --mix Sources` reads, nearly."""
    for folder, ending in [("Documentation", "*.md"), ("Sources", "*.swift")]:
        for file in sorted((root / folder).rglob(ending)):
            yield file.read_text()


def tokenizer(root, size):
    """Byte-level BPE, as Llama 3's and Qwen's."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        texts(root),
        trainers.BpeTrainer(vocab_size=size, special_tokens=NAMES, initial_alphabet=alphabet, show_progress=False))
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, pad_token="<pad>", eos_token="<end>")
    words.chat_template = TEMPLATE
    return words


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    for name, size in [("layers", 2), ("hidden", 64), ("vocabulary", 512)]:
        parser.add_argument(f"--{name}", type=int, default=size)
    given = parser.parse_args()
    words = tokenizer(Path.cwd(), given.vocabulary)
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=given.hidden, intermediate_size=given.hidden * 11 // 4 // 16 * 16,
        num_hidden_layers=given.layers, num_attention_heads=max(1, given.hidden // 64), max_position_embeddings=512,
        tie_word_embeddings=True, pad_token_id=0, bos_token_id=None, eos_token_id=1))
    model.save_pretrained(given.folder)
    words.save_pretrained(given.folder)
    print(f"{given.folder}: {model.num_parameters():,} parameters, a vocabulary of {len(words):,}")


main()
