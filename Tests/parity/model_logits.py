"""Checks that transformers loads checkpoints that Swift wrote and computes the same logits.

Usage: python model_logits.py FOLDER

Beside each checkpoint FOLDER/NAME stands NAME.safetensors with `input_ids` and the `logits` that Swift
computed for them. The largest difference, over the largest logit, must be within 1e-5; it is printed.
"""

import os
import sys
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

BOUND = 1e-5


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def difference(folder, recorded):
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
    check(not any(report.values()), f"{folder.name}: loading reports {report}")
    with torch.no_grad():
        logits = model(input_ids=recorded["input_ids"]).logits
    expected = recorded["logits"]
    check(logits.dtype == expected.dtype, f"{folder.name}: logits of {logits.dtype}, expected {expected.dtype}")
    check(logits.shape == expected.shape, f"{folder.name}: logits {logits.shape}, expected {expected.shape}")
    return ((logits - expected).abs().max() / expected.abs().max()).item()


def main(root):
    torch.set_num_threads(1)
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    for folder in folders:
        error = difference(folder, load_file(folder.with_suffix(".safetensors")))
        print(f"logits of our checkpoint in transformers, {folder.name}: {error}")
        check(error <= BOUND, f"{folder.name}: logits differ")
    print("passed", len(folders))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
