"""Writes a tiny Llama with random weights and a tokenizer in Hugging Face layout, for `liger train` to start from.

    python Examples/Python/make_checkpoint.py tiny-llama
"""

import sys

import tiny

words = tiny.tokenizer()
tiny.model(words).save_pretrained(sys.argv[1])
words.save_pretrained(sys.argv[1])
print(f"{sys.argv[1]}: a Llama with random weights and a vocabulary of {len(words)}")
