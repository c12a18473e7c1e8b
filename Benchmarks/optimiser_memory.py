"""Steps of AdamW over the weights of a Hugging Face model, in whole training steps: ms, tokens/s and GiB.

Usage: python Benchmarks/optimiser_memory.py [--model llama-3-8b|qwen3-0.6b] [--shape 1x4096] [--layers N] [--sides ...]
       python Benchmarks/optimiser_memory.py --loss

One NVIDIA GPU. Random weights in bf16, our kernels, gradient checkpointing. Each side runs in a process of its own:
torch's fused AdamW over bf16 weights, and ours with fp32 masters, with 8-bit states and random rounding, and the same
inside the backward pass; bitsandbytes and torchao where they are installed. --layers builds fewer layers, for a run of
a minute. --loss trains a small model on the bytes of this repository's texts instead, on a GPU or a processor: the last
losses of ours against torch's AdamW in fp32. Prints a Markdown table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIDES = ["torch fused", "ours, masters", "ours, 8 bits", "ours, 8 bits, in backward", "bitsandbytes", "torchao"]


def optimiser(side, parameters):
    import torch

    from liger_kernel.optim import AdamW

    if side == "torch fused":
        return torch.optim.AdamW(parameters, lr=1e-5, fused=True)
    if side == "bitsandbytes":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(parameters, lr=1e-5)
    if side == "torchao":
        from torchao.optim import AdamW8bit

        return AdamW8bit(parameters, lr=1e-5, bf16_stochastic_round=True)
    if side == "ours, masters":
        return AdamW(parameters, lr=1e-5, bits=32, rounding="master")
    return AdamW(parameters, lr=1e-5, update_in_backward="backward" in side)


def worker(arguments):
    import torch

    from fp8 import build

    model = build(arguments.model, arguments.layers)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = optimiser(arguments.worker, model.parameters())
    batch, length = map(int, arguments.shape.split("x"))
    ids = torch.randint(0, model.config.vocab_size, (batch, length), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    times, updates = [], []
    for _ in range(2 + (arguments.steps or 4)):
        torch.cuda.synchronize()
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.cuda.synchronize()
        middle = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        updates.append(time.perf_counter() - middle)
    row = {
        "tokens": batch * length / statistics.median(times[2:]), "update": 1000 * statistics.median(updates[2:]),
        "peak": torch.cuda.max_memory_allocated() / 2**30, "loss": loss.item(),
    }  # fmt: skip
    print(json.dumps(row), flush=True)


def train_on_bytes(make, seed, steps, dtype):
    """The mean of the last 20 losses of a small model on bytes of text."""
    import torch

    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    texts = sorted([*ROOT.glob("Documentation/*.md"), *ROOT.glob("Sources/**/*.swift")])
    data = torch.frombuffer(bytearray(b"".join(t.read_bytes() for t in texts)), dtype=torch.uint8)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        use_cache=False,
    )
    model = LlamaForCausalLM(config).to(device, dtype)
    optimizer = make(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, cycle_momentum=False)
    generator, losses = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        starts = torch.randint(0, len(data) - 129, (16,), generator=generator)
        ids = torch.stack([data[s : s + 128] for s in starts]).long().to(device)
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
    return statistics.mean(losses[-20:])


def compare_losses(steps, seeds):
    import torch

    from liger_kernel.optim import AdamW

    sides = {
        "torch AdamW, fp32": (lambda p: torch.optim.AdamW(p, lr=3e-3), torch.float32),
        "ours, 8 bits, fp32 weights": (lambda p: AdamW(p, lr=3e-3), torch.float32),
        "ours, 8 bits, bf16 weights at random": (lambda p: AdamW(p, lr=3e-3), torch.bfloat16),
        "ours, 32 bits, bf16 weights with masters": (
            lambda p: AdamW(p, lr=3e-3, bits=32, rounding="master"), torch.bfloat16),
        "ours, 32 bits, bf16 weights to nearest": (
            lambda p: AdamW(p, lr=3e-3, bits=32, rounding="nearest"), torch.bfloat16),
    }  # fmt: skip
    print(f"| optimiser | {' | '.join(f'seed {seed}' for seed in range(seeds))} |\n|---|{'---:|' * seeds}")
    for name, (make, dtype) in sides.items():
        found = [f"{train_on_bytes(make, seed, steps, dtype):.4f}" for seed in range(seeds)]
        print(f"| {name} | {' | '.join(found)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-3-8b", choices=["llama-3-8b", "qwen3-0.6b"])
    parser.add_argument("--shape", default="1x4096", help="batch x sequence")
    parser.add_argument("--layers", type=int, help="fewer than the model's")
    parser.add_argument("--sides", nargs="+", default=SIDES[2:4], choices=SIDES)
    parser.add_argument("--steps", type=int, help="timed steps, 4 if not given; with --loss all of them, 300")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--loss", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments)
    if arguments.loss:
        return compare_losses(arguments.steps or 300, arguments.seeds)
    import torch

    print(f"{arguments.model} {arguments.shape} on {torch.cuda.get_device_name()}\n")
    print("| optimiser | tokens/s | step of the optimiser, ms | GiB | loss |\n|---|---:|---:|---:|---:|")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'python' / 'src'}:{os.environ.get('PYTHONPATH', '')}"}
    for side in arguments.sides:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", side]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if rows:
            row = rows[0]
            numbers = f"{row['tokens']:,.0f} | {row['update']:.1f} | {row['peak']:.1f} | {row['loss']:.4f}"
        else:
            numbers = f"failed: {(done.stderr.strip().splitlines() or ['no output'])[-1][:200]} | | | "
        print(f"| {side} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
