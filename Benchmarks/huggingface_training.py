"""Trains Hugging Face models with and without fused kernels on one NVIDIA GPU, side by side: tokens/s and memory.

Usage: python Benchmarks/huggingface_training.py [--upstream FOLDER] [--model llama-3-8b|qwen3-0.6b] [--shapes BxT ...]

Random weights, bf16, AdamW (fused), scaled-dot-product attention; gradient checkpointing for llama-3-8b. Each
side runs in a process of its own: plain Hugging Face, ours (python/src of this repository), and, where --upstream
names a folder that Liger-Kernel is installed in (`pip install --target`), that. A row shows the median of the timed
steps.
Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys

from pathlib import Path

from training_steps import measure

ROOT = Path(__file__).resolve().parent.parent
SHAPES = {"llama-3-8b": ["8x1024", "8x4096"], "qwen3-0.6b": ["1x128", "1x512", "1x2048", "4x2048"]}


def build(name):
    import torch

    from transformers import AutoModelForCausalLM
    from transformers import LlamaConfig
    from transformers import Qwen3Config

    if name == "llama-3-8b":
        config = LlamaConfig(
            vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
            num_key_value_heads=8, max_position_embeddings=16384, rope_theta=500000.0, tie_word_embeddings=False)
    else:
        config = Qwen3Config(
            vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16,
            num_key_value_heads=8, head_dim=128, max_position_embeddings=16384, tie_word_embeddings=True)
    config.use_cache = False
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    if name == "llama-3-8b":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def worker(name, shapes, fused, steps):
    import torch

    model = build(name)
    if fused:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
        _apply_liger_kernel_to_instance(model=model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    for shape in shapes:
        batch, length = map(int, shape.split("x"))
        ids = torch.randint(0, model.config.vocab_size, (batch, length), device="cuda")
        torch.cuda.empty_cache()
        try:
            row = measure(model, optimizer, ids, 2, steps)
        except torch.OutOfMemoryError:
            row = {"tokens_per_s": 0}
        print(json.dumps({"shape": shape, **row}), flush=True)


def run(name, shapes, side, path, steps):
    command = [sys.executable, __file__, "--worker", side, "--model", name, "--steps", str(steps), "--shapes", *shapes]
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = f"{path}:{environment.get('PYTHONPATH', '')}"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not rows:
        print(f"{side}: " + done.stderr[-2000:], file=sys.stderr)
    return {row["shape"]: row for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream")
    parser.add_argument("--model", default="llama-3-8b", choices=SHAPES)
    parser.add_argument("--shapes", nargs="+")
    parser.add_argument("--sides", nargs="+", default=["Hugging Face", "Liger-Kernel", "ours"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shapes = arguments.shapes or SHAPES[arguments.model]
    if arguments.worker:
        return worker(arguments.model, shapes, arguments.worker != "Hugging Face", arguments.steps)
    paths = {"Hugging Face": None, "Liger-Kernel": arguments.upstream, "ours": str(ROOT / "python" / "src")}
    sides = [side for side in arguments.sides if side != "Liger-Kernel" or arguments.upstream]
    found = {side: run(arguments.model, shapes, side, paths[side], arguments.steps) for side in sides}
    print(f"{arguments.model}\n\n| batch x sequence | " + " | ".join(sides) + " |")
    print("|---|" + "---:|" * len(sides))
    for shape in shapes:
        cells = []
        for side in sides:
            row = found[side].get(shape)
            if not row:
                cells.append("failed")
            elif not row["tokens_per_s"]:
                cells.append("out of memory")
            else:
                cells.append(f"{row['tokens_per_s']:,.0f} tok/s, {row['peak_gib']:.1f} GiB, loss {row['loss']:.4f}")
        print(f"| {shape} | " + " | ".join(cells) + " |", flush=True)


main()
