"""Makes a tiny random Llama with a tokenizer and a chat template, conversations, and what transformers makes of them.

Usage: python instruction_fixture.py OUTPUT_FOLDER

Writes `model`, `chats.jsonl` and `expected.json`: for each conversation the ids of apply_chat_template, its mask of the
assistant's tokens, and the ids again of all but the first messages, for a template with `{% generation %}` tags
(`tagged.jinja`) and the same one without (`plain.jinja`); and the summed loss of the masked tokens with its gradients'
norm, each conversation for itself and without padding.
"""

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TAGGED = """\
{%- if tools %}<|im_start|>system
You may call {% for tool in tools %}{{ tool.function.name }}{% if not loop.last %}, {% endif %}{% endfor %}.<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.role == 'assistant' %}{% generation %}{% if message.thinking %}<think>{{ message.thinking }}</think>
{% endif %}{{ message.content }}{% if message.tool_calls %}{{ message.tool_calls[0].function.name }}{% endif %}<|im_end|>
{% endgeneration %}{% else %}{{ message.content }}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
PLAIN = TAGGED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


CHATS = [
    {"messages": [user("What is a tile?"), assistant("Some lanes of a row.")]},
    {"messages": [{"role": "system", "content": "Be brief."}, user("Hé, ça va ? 你好"), assistant("Ça va 🙂🙂")]},
    {"messages": [user("one"), assistant("two"), user("  three\n\n"), assistant("\n four  "), user("five"),
                  assistant("six")]},
    {"messages": [user("Is it raining?"),
                  assistant("", tool_calls=[{"type": "function", "function": {"name": "weather", "arguments": {}}}]),
                  {"role": "tool", "content": "{\"rain\": true}"}, assistant("It is.", thinking="wet, so yes")],
     "tools": [WEATHER]},
    {"messages": [assistant("I begin."), user("And I go on."), assistant("<|im_start|> is a token")]},
]  # fmt: skip


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    text = [message["content"] for chat in CHATS for message in chat["messages"]] * 3 + [PLAIN] * 3
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator(text, trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))  # fmt: skip
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=TAGGED)


def make_model(vocabulary):
    torch.manual_seed(7)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=48, intermediate_size=100, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, attn_implementation="eager", initializer_range=0.1,
        bos_token_id=None, eos_token_id=0))  # fmt: skip


def encode(tokenizer, chat, template):
    out = tokenizer.apply_chat_template(
        chat["messages"], tools=chat.get("tools"), chat_template=template, return_dict=True,
        return_assistant_tokens_mask=template is TAGGED)  # fmt: skip
    return out["input_ids"], out.get("assistant_masks")


def loss_sum(model, ids, mask):
    logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    losses = cross_entropy(logits, torch.tensor(ids[1:]), reduction="none")
    return (losses * torch.tensor(mask[1:], dtype=losses.dtype)).sum()


def main():
    folder = Path(sys.argv[1])
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "tagged.jinja").write_text(TAGGED)
    (folder / "plain.jinja").write_text(PLAIN)
    (folder / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in CHATS))
    examples = []
    for chat in CHATS:
        ids, mask = encode(tokenizer, chat, TAGGED)
        assert encode(tokenizer, chat, PLAIN)[0] == ids and 0 < sum(mask) < len(ids)
        examples.append({"tokens": ids, "mask": mask})
    total = sum(sum(example["mask"][1:]) for example in examples)
    loss = sum(loss_sum(model, example["tokens"], example["mask"]) for example in examples) / total
    loss.backward()
    norm = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in model.parameters()]))
    (folder / "expected.json").write_text(
        json.dumps({"examples": examples, "loss": loss.item(), "norm": norm.item()}))  # fmt: skip


main()
