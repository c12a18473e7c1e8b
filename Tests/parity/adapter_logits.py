"""Checks that PEFT loads adapters that Swift wrote and computes the same logits.

Usage: python adapter_logits.py FOLDER

Each folder in FOLDER has `base`, `written` (the adapter) and `logits.safetensors` with `input_ids` and the `logits` that
Swift computed. The largest difference, over the largest logit, must be within 1e-5; it is printed.
"""

import os
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

BOUND = 1e-5


def main(root):
    torch.set_num_threads(1)
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    for folder in folders:
        recorded = load_file(folder / "logits.safetensors")
        model = AutoModelForCausalLM.from_pretrained(
            folder / "base", attn_implementation="eager", experts_implementation="eager")
        model = PeftModel.from_pretrained(model, folder / "written")
        with torch.no_grad():
            logits = model(input_ids=recorded["input_ids"]).logits
        expected = recorded["logits"]
        error = ((logits - expected).abs().max() / expected.abs().max()).item()
        print(f"logits of our adapter in PEFT, {folder.name}: {error}")
        if not error <= BOUND:
            sys.exit(f"FAILED: {folder.name}: logits differ")
    print("passed", len(folders))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
