"""A tiny Llama with random weights, its tokenizer and some text: what the examples train, without a network."""

import torch
import transformers

from tokenizers import Tokenizer
from tokenizers import decoders
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import trainers

SENTENCES = [
    "The cat sat on the mat and saw a bird.",
    "A dog ran under the tree and lost the ball.",
    "The bird sang in the tree until the cat saw it.",
    "The dog and the cat sat on one mat.",
] * 4


def tokenizer():
    """Byte-level BPE, as Llama 3's and Qwen's, learned from the sentences."""
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    names = ["<pad>", "<s>", "</s>"]
    pieces.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=320, special_tokens=names, initial_alphabet=alphabet,
                                       show_progress=False))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def model(words):
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2))
