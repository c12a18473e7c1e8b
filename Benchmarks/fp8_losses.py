"""Losses of a model that trains with products in 8-bit floats against the same model in bf16, over several seeds.

Usage: python Benchmarks/fp8_losses.py --text FOLDER [--mib 24] [--seeds 0 1 2] [--steps 400] [--shape BxT]
           [--plot FILE.svg] [--data FILE.json] [--emulate]

A Llama of 104 million parameters (8 layers, hidden size 1,024, bytes as tokens) trains on the text of the files *.py,
*.md, *.txt, *.rst and *.h under FOLDER, the first --mib MiB in the order of their paths. Weights and AdamW's states are
in fp32, products in bf16 by autocast, or in 8 bits by `liger_kernel.fp8`. Both sides of a pair have one seed: the same
weights at the start and the same batches. Prints, as Markdown:

* for each pair the mean difference of losses, of all steps and of the last quarter, and the same between the seeds of
  bf16, which have their own weights and batches;
* by layer the cosine of gradients in 8 bits with those in bf16, at the start and after training in bf16, and that of
  bf16 with fp32.

--plot draws losses over steps. --emulate runs on the CPU; give fewer steps there, and --tiny.
"""

import argparse
import json
import math
import statistics
import time

from pathlib import Path

import torch

from fp8_losses_chart import draw

SUFFIXES = {".py", ".md", ".txt", ".rst", ".h"}


def read_text(folder, mib):
    """Bytes of text files, in the order of their paths."""
    parts, size = [], 0
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix in SUFFIXES and path.is_file() and size < mib * 2**20:
            parts.append(path.read_bytes())
            size += len(parts[-1])
    if size < mib * 2**20:
        raise SystemExit(f"--text: {folder} has {size / 2**20:.1f} MiB of text, of {mib}")
    return torch.frombuffer(bytearray(b"".join(parts)), dtype=torch.uint8)


def build(seed, arguments):
    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    from liger_kernel.transformers import apply_liger_kernel_to_llama

    sizes = (64, 160, 2) if arguments.tiny else (1024, 2816, 8)
    config = LlamaConfig(
        vocab_size=256, hidden_size=sizes[0], intermediate_size=sizes[1], num_hidden_layers=sizes[2],
        num_attention_heads=sizes[0] // 64, num_key_value_heads=sizes[0] // 64, tie_word_embeddings=False)  # fmt: skip
    config.use_cache = False
    torch.manual_seed(seed)
    with torch.device(arguments.device):
        model = LlamaForCausalLM(config)
    apply_liger_kernel_to_llama(model=model)
    return model.train()


def batches(text, seed, arguments):
    """Random places of the text, the same for both sides of a pair."""
    batch, length = map(int, arguments.shape.split("x"))
    numbers = torch.Generator().manual_seed(1000 + seed)
    while True:
        starts = torch.randint(0, text.numel() - length, (batch,), generator=numbers)
        yield torch.stack([text[start : start + length] for start in starts]).long().to(arguments.device)


def loss_of(model, ids, dtype=torch.bfloat16):
    with torch.autocast(ids.device.type, dtype, enabled=dtype != torch.float32):
        return model(input_ids=ids, labels=ids).loss


def to_eight_bits(model, arguments):
    from liger_kernel import fp8

    return fp8(model, scaling=arguments.scaling, emulate=arguments.emulate)


def train(text, seed, is_fp8, arguments):
    """Losses of all steps, and the model."""
    model = build(seed, arguments)
    if is_fp8:
        to_eight_bits(model, arguments)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), fused=not arguments.emulate)
    warmup, losses, start = max(arguments.steps // 10, 1), [], time.perf_counter()
    for step, ids in zip(range(arguments.steps), batches(text, seed, arguments)):
        decay = 0.55 + 0.45 * math.cos(math.pi * step / arguments.steps)
        optimizer.param_groups[0]["lr"] = 6e-4 * min((step + 1) / warmup, 1.0) * decay
        loss = loss_of(model, ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    losses = torch.stack(losses).tolist()
    seconds = time.perf_counter() - start
    print(f"{'fp8' if is_fp8 else 'bf16'}, seed {seed}: {losses[0]:.4f} to {losses[-1]:.4f}, {seconds:.0f} s", flush=True)
    return losses, model


def gradients(model, ids, dtype=torch.bfloat16):
    loss_of(model, ids, dtype).backward()
    found = {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.dim() == 2}
    model.zero_grad(set_to_none=True)
    return found


def cosines(text, state, arguments):
    """By layer, the least cosine of its gradients: 8 bits with bf16, and bf16 with fp32."""
    ids = next(batches(text, 99, arguments))
    model = build(0, arguments)
    model.load_state_dict(state)
    exact, rounded = gradients(model, ids, torch.float32), gradients(model, ids)
    to_eight_bits(model, arguments)
    eight = gradients(model, ids)

    def least(a, b, layer):
        of_layer = [name for name in a if f"layers.{layer}." in name]
        pairs = [torch.nn.functional.cosine_similarity(a[n].flatten(), b[n].flatten(), dim=0).item() for n in of_layer]
        return min(pairs)

    return [
        (least(eight, rounded, layer), least(rounded, exact, layer))
        for layer in range(model.config.num_hidden_layers)
    ]  # fmt: skip


def mean_difference(a, b, last):
    return statistics.mean(x - y for x, y in zip(a[-last:], b[-last:]))


def report(runs, seeds, steps):
    spans = {"all steps": steps, "last quarter": max(steps // 4, 1)}
    print(f"\n| difference of losses | {' | '.join(spans)} |\n|---|{'---:|' * len(spans)}")

    def row(name, a, b):
        print(f"| {name} | " + " | ".join(f"{mean_difference(a, b, last):+.5f}" for last in spans.values()) + " |")

    for seed in seeds:
        row(f"8 bits less bf16, seed {seed}", runs["fp8", seed], runs["bf16", seed])
    for i, a in enumerate(seeds):
        for b in seeds[i + 1 :]:
            row(f"bf16, seed {b} less seed {a}", runs["bf16", b], runs["bf16", a])
    for name, last in spans.items():
        pairs = [mean_difference(runs["fp8", s], runs["bf16", s], last) for s in seeds]
        apart = [abs(mean_difference(runs["bf16", a], runs["bf16", b], last)) for a in seeds for b in seeds if a < b]
        is_met = abs(statistics.mean(pairs)) <= max(apart, default=0.0)
        print(f"\n{name}: mean difference {statistics.mean(pairs):+.5f}, most between seeds of bf16 "
              f"{max(apart, default=0.0):.5f}: {'met' if is_met else 'MISSED'}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--mib", type=float, default=24)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--shape", default="32x1024")
    parser.add_argument("--scaling", default="tensor", choices=["tensor", "row"])
    parser.add_argument("--plot")
    parser.add_argument("--data")
    parser.add_argument("--emulate", action="store_true", help="on the CPU")
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    arguments.device = "cpu" if arguments.emulate else "cuda"
    text = read_text(arguments.text, arguments.mib)
    start = build(0, arguments).state_dict()
    print(f"{sum(t.numel() for t in start.values()):,} parameters, {text.numel():,} bytes of text", flush=True)
    tables, runs = {"start": cosines(text, start, arguments)}, {}
    for seed in arguments.seeds:
        for is_fp8 in (False, True):
            runs["fp8" if is_fp8 else "bf16", seed], model = train(text, seed, is_fp8, arguments)
            if seed == arguments.seeds[0] and not is_fp8:
                tables["trained"] = cosines(text, model.state_dict(), arguments)
    report(runs, arguments.seeds, arguments.steps)
    print("\n| layer | 8 bits with bf16, start | trained | bf16 with fp32, start | trained |\n|---:|---:|---:|---:|---:|")
    for layer, (first, then) in enumerate(zip(tables["start"], tables["trained"])):
        print(f"| {layer} | {first[0]:.5f} | {then[0]:.5f} | {first[1]:.5f} | {then[1]:.5f} |")
    if arguments.data:
        Path(arguments.data).write_text(json.dumps([[*key, losses] for key, losses in runs.items()]))
    if arguments.plot:
        draw(arguments.plot, runs)


main()
