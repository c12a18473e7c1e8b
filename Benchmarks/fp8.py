"""Trains a Hugging Face model with linear layers in bf16, in 8-bit floats by `liger_kernel.fp8`, and by torchao.

Usage: python Benchmarks/fp8.py [--model llama-3-8b|qwen3-0.6b] [--shape 8x4096] [--layers N] [--sides bf16 fp8 ...]

One NVIDIA GPU of compute capability 9.0. Random weights in bf16, our kernels on every side, gradient checkpointing for
llama-3-8b, and no optimiser's step: what differs is the products. --layers builds fewer layers, for a run of a minute;
then the head's share is larger than in the whole model. Each side runs in a process of its own, in turns. A row shows
the median of the timed steps. --parts times a layer's parts instead. --angles compares the gradients of all layers with
those in bf16. Prints a Markdown table.
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
SIDES = ["bf16", "fp8", "fp8 by row", "torchao", "torchao by row"]


def build(name, layers):
    import torch

    from transformers import AutoModelForCausalLM
    from transformers import LlamaConfig
    from transformers import Qwen3Config

    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    if name == "llama-3-8b":
        config = LlamaConfig(
            vocab_size=128256,
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=layers or 32,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=16384,
            rope_theta=500000.0,
            tie_word_embeddings=False,
        )
    else:
        config = Qwen3Config(
            vocab_size=151936,
            hidden_size=1024,
            intermediate_size=3072,
            num_hidden_layers=layers or 28,
            num_attention_heads=16,
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=16384,
            tie_word_embeddings=True,
        )
    config.use_cache = False
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    _apply_liger_kernel_to_instance(model=model)
    if name == "llama-3-8b":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.train()


def convert(model, side):
    """Puts a side's products in place; returns what did, in words."""
    if side.startswith("fp8"):
        from liger_kernel import fp8

        return str(fp8(model, scaling="row" if "row" in side else "tensor"))
    if side.startswith("torchao"):
        from torchao.float8 import Float8LinearConfig
        from torchao.float8 import convert_to_float8_training

        config = Float8LinearConfig.from_recipe_name("rowwise" if "row" in side else "tensorwise")
        convert_to_float8_training(model, config=config, module_filter_fn=lambda _, name: name != "lm_head")
        # torchao's casts are made for torch.compile.
        for layer in model.model.layers:
            layer.compile()
    return side


def worker(arguments):
    import torch

    model = build(arguments.model, arguments.layers)
    print(convert(model, arguments.worker), file=sys.stderr)
    batch, length = map(int, arguments.shape.split("x"))
    ids = torch.randint(0, model.config.vocab_size, (batch, length), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(2 + arguments.steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        model.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    tokens = batch * length / statistics.median(times[2:])
    peak = torch.cuda.max_memory_allocated() / 2**30
    print(json.dumps({"tokens": tokens, "peak": peak, "loss": loss.item()}), flush=True)


def angles(arguments):
    """Cosines of gradients with those in bf16, by kind of layer."""
    import torch

    found = {}
    for side in ("bf16", "fp8", "fp8 by row"):
        model = build(arguments.model, arguments.layers)
        convert(model, side)
        ids = torch.randint(0, 1000, (1, 1024), generator=torch.Generator().manual_seed(1)).cuda()
        model(input_ids=ids, labels=ids).loss.backward()
        found[side] = {name: p.grad.cpu() for name, p in model.named_parameters() if p.dim() == 2}
        del model
        torch.cuda.empty_cache()
    print("| parameter | fp8 | fp8 by row |\n|---|---:|---:|")
    for name, exact in found["bf16"].items():
        exact = exact.float().flatten()
        cosines = [
            torch.nn.functional.cosine_similarity(exact, found[side][name].float().flatten(), dim=0).item()
            for side in ("fp8", "fp8 by row")
        ]
        print(f"| {name} | {cosines[0]:.5f} | {cosines[1]:.5f} |")


def timed(run, repetitions=20):
    import torch

    for _ in range(3):
        run()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    events[0].record()
    for _ in range(repetitions):
        run()
    events[1].record()
    torch.cuda.synchronize()
    return events[0].elapsed_time(events[1]) / repetitions


def parts():
    """Times of what a layer does: 32,768 rows, 4,096 columns, by 14,336 outputs."""
    import torch

    from liger_kernel.float8.products import factors
    from liger_kernel.float8.products import product

    x = torch.randn(32768, 4096, device="cuda", dtype=torch.bfloat16)
    w = torch.randn(14336, 4096, device="cuda", dtype=torch.bfloat16)
    print("| what | ms |\n|---|---:|")
    print(f"| bf16 product | {timed(lambda: x @ w.t()):.3f} |")
    for scaling in ("tensor", "row"):
        (a, _), (b, _) = (factors(t, "e4m3", scaling, True, False) for t in (x, w))
        for is_fast in (True, False):
            name = f"8-bit product by {scaling}, {'fast' if is_fast else 'fp32'} sums"
            print(f"| {name} | {timed(lambda: product(a, b, torch.bfloat16, False, is_fast)):.3f} |")
        for rows, columns in ((True, False), (False, True), (True, True)):
            name = f"factors of x by {scaling}, {'rows' if rows else ''} {'columns' if columns else ''}"
            print(f"| {name} | {timed(lambda: factors(x, 'e4m3', scaling, rows, columns)):.3f} |", flush=True)
    y = torch.empty_like(x)
    print(f"| copy of x, 4 bytes an element | {timed(lambda: y.copy_(x)):.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-3-8b", choices=["llama-3-8b", "qwen3-0.6b"])
    parser.add_argument("--shape", default="8x4096", help="batch x sequence")
    parser.add_argument("--layers", type=int, help="fewer than the model's")
    parser.add_argument("--sides", nargs="+", default=SIDES[:4], choices=SIDES)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--angles", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments)
    if arguments.parts:
        return parts()
    if arguments.angles:
        return angles(arguments)
    import torch

    print(f"{arguments.model} {arguments.shape} on {torch.cuda.get_device_name()}\n")
    print("| products | tokens/s | GiB | loss |\n|---|---:|---:|---:|")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'python' / 'src'}:{os.environ.get('PYTHONPATH', '')}"}
    for side in arguments.sides:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", side]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if rows:
            row = rows[0]
            print(f"| {side} | {row['tokens']:,.0f} | {row['peak']:.1f} | {row['loss']:.4f} |", flush=True)
        else:
            error = (done.stderr.strip().splitlines() or ["no output"])[-1]
            print(f"| {side} | failed: {error[:200]} | | |", flush=True)


if __name__ == "__main__":
    main()
