"""Continues prompts greedily with tiny random decoders of every family, by transformers' own generate.

Usage: python generation_fixture.py OUTPUT_FOLDER

For each variant of decoder_fixture.py a folder with a checkpoint, and `tokens.json` with the prompt and what follows.
"""

import json
import sys
from pathlib import Path

import torch
from decoder_fixture import VARIANTS, VOCABULARY, make_model

PROMPT, NEW = 12, 24


def continued(model, prompt):
    with torch.no_grad():
        tokens = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW, do_sample=False, eos_token_id=None,
            pad_token_id=0)
    return tokens[0, prompt.shape[1]:].tolist()


def main(root):
    torch.set_num_threads(1)
    for name, options in VARIANTS.items():
        torch.manual_seed(11)
        model = make_model(options).eval()
        model.generation_config.eos_token_id = None
        with torch.no_grad():
            # Large enough that scores lie apart, so that no rounding decides which is the highest.
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter.normal_(0, 0.3)
            if model.config.model_type.startswith("gemma"):
                # It multiplies embeddings by the root of their length, and would say its last token again and again.
                model.get_input_embeddings().weight.div_(model.config.hidden_size**0.5)
        folder = root / name
        model.save_pretrained(folder)
        prompt = torch.randint(0, VOCABULARY, (1, PROMPT))
        recorded = dict(prompt=prompt[0].tolist(), tokens=continued(model, prompt))
        (folder / "tokens.json").write_text(json.dumps(recorded))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
