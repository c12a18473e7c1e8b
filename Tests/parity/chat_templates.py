"""Renders chat templates with transformers and says what comes out.

    chat_templates.py CASES RESULTS

CASES is a JSON list of objects with template, messages, and as wanted tools, variables, add_generation_prompt and date.
RESULTS is a list in the same order: of objects with text and generated (what {% generation %} blocks wrote, in UTF-8 bytes),
or with error. A case with "bare" is rendered by the template alone, with the variables and nothing else.
"""

import datetime
import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def pin(text):
    """Makes the templates' clock stand still."""

    class Pinned(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.fromisoformat(text)

    chat_template_utils.datetime = Pinned


def bytes_of(text, ranges):
    return [[len(text[:start].encode()), len(text[:end].encode())] for start, end in ranges]


def render(tokenizer, case):
    pin(case.get("date") or "2026-07-31")
    variables = case.get("variables") or {}
    if case.get("bare"):
        text = chat_template_utils._compile_jinja_template(case["template"]).render(**variables)
        text.encode()
        return {"text": text, "generated": []}
    options = dict(tools=case.get("tools"), add_generation_prompt=case.get("add_generation_prompt", False), **variables)
    text = tokenizer.apply_chat_template(case["messages"], case["template"], tokenize=False, **options)
    text.encode()
    if "generation" not in case["template"]:
        return {"text": text, "generated": []}
    messages = [{key: value for key, value in message.items() if value is not None} for message in case["messages"]]
    _, ranges = chat_template_utils.render_jinja_template(
        [messages], chat_template=case["template"], return_assistant_tokens_mask=True, **{**TOKENS, **options}
    )
    return {"text": text, "generated": bytes_of(text, ranges[0])}


def main(cases, results):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0}, "<unk>")), **TOKENS)
    rendered = []
    for case in json.loads(Path(cases).read_text(encoding="utf-8")):
        try:
            rendered.append(render(tokenizer, case))
        except Exception as error:  # whatever a template raises is its result
            rendered.append({"error": f"{type(error).__name__}: {error}"})
    Path(results).write_text(json.dumps(rendered), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
