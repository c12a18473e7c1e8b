"""Checks that transformers loads a checkpoint that Swift wrote and computes the same logits.

Usage: python model_logits.py CHECKPOINT_FOLDER STEP_FILE

STEP_FILE holds `input_ids` and the `logits` that Swift computed for them. The largest difference must be
within 1e-5 of the largest logit; it is printed.
"""

import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

BOUND = 1e-5


def main(folder, step):
    torch.set_num_threads(1)
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", attn_implementation="eager", output_loading_info=True)
    if any(report.values()):
        sys.exit(f"FAILED: loading reports {report}")
    recorded = load_file(step)
    with torch.no_grad():
        logits = model(input_ids=recorded["input_ids"]).logits
    expected = recorded["logits"]
    if logits.dtype != expected.dtype or logits.shape != expected.shape:
        sys.exit(f"FAILED: logits of {logits.dtype} {logits.shape}, expected {expected.dtype} {expected.shape}")
    difference = ((logits - expected).abs().max() / expected.abs().max()).item()
    if not difference <= BOUND:
        sys.exit(f"FAILED: logits differ by {difference} of the largest")
    print(difference)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
