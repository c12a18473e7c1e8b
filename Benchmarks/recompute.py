"""Recomputation by budget compared with full and selective gradient checkpointing, on one NVIDIA GPU.

Usage: python Benchmarks/recompute.py [--model llama-3-8b|qwen3-0.6b] [--layers N] [--shape BxT] [--steps N]
           [--budgets GiB ...] [--host GiB] [--selective BLOCKS ...] [--without]
           [--attention sdpa|flash_attention_2|eager]

A Hugging Face model with random weights in bf16, patched with our kernels; AdamW (fused). One process trains
it in turns:

* `none`: without gradient checkpointing (only with --without);
* `checkpoint`: Hugging Face's gradient checkpointing of every block;
* `selective K`: torch's selective policy (results of products and attention are kept) in the last K blocks, full
  checkpointing in the others: --selective lists the K;
* `ours B`: `liger_kernel.recompute(model, budget=B GiB)`; `ours auto`; `ours B host H`: with host_budget=H GiB too, for
  each budget (only with --host).

Each prints a line of JSON: tokens/s of the median step, the peak of `torch.cuda.max_memory_allocated` over the timed
steps, the host's time to hand out a step, the loss (the learning rate is 0, so all have the same), and for ours the
plan.
"""

import argparse
import functools
import gc
import json
import sys

from pathlib import Path

import torch

from training_steps import measure

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python" / "src"))


def build(name, layers, attention):
    from transformers import AutoModelForCausalLM
    from transformers import LlamaConfig
    from transformers import Qwen3Config

    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    if name == "llama-3-8b":
        config = LlamaConfig(
            vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=layers or 32,
            num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=16384, rope_theta=500000.0,
            tie_word_embeddings=False)
    else:
        config = Qwen3Config(
            vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=layers or 28,
            num_attention_heads=16, num_key_value_heads=8, head_dim=128, max_position_embeddings=16384,
            tie_word_embeddings=True)
    config.use_cache = False
    torch.manual_seed(0)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation=attention)
    _apply_liger_kernel_to_instance(model=model)
    return model.train()


def enable(model):
    switch = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    switch({"use_reentrant": False})


def keep_products(context, operator, *arguments, **options):
    from torch.utils.checkpoint import CheckpointPolicy

    from liger_kernel.recomputation.operators import KEPT
    from liger_kernel.recomputation.operators import KINDS

    return CheckpointPolicy.MUST_SAVE if KINDS[operator] in KEPT else CheckpointPolicy.PREFER_RECOMPUTE


def select(model, count):
    """torch's selective policy in the last blocks of a model."""
    from torch.utils.checkpoint import checkpoint
    from torch.utils.checkpoint import create_selective_checkpoint_contexts

    contexts = functools.partial(create_selective_checkpoint_contexts, keep_products)
    enable(model)
    for block in list(model.model.layers)[-count:]:
        block._gradient_checkpointing_func = functools.partial(checkpoint, use_reentrant=False, context_fn=contexts)


def prepare(model, side):
    """Switches a side on; the Recomputation if it is ours."""
    import liger_kernel

    kind, _, value = side.partition(" ")
    if kind == "none":
        switch = getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable
        switch()
    elif kind == "checkpoint":
        enable(model)
    elif kind == "selective":
        select(model, int(value))
    else:
        budget, _, host = value.partition(" host ")
        budget = budget if budget == "auto" else int(float(budget) * 2**30)
        host = int(float(host or 0) * 2**30)
        return liger_kernel.recompute(model, budget=budget, verbose=False, host_budget=host)


def measure_side(model, optimizer, side, ids, steps):
    recomputation = prepare(model, side)
    row = measure(model, optimizer, ids, 3, steps)
    if recomputation is not None:
        plan = recomputation.plan
        row |= {"expected_gib": plan.expected_peak / 2**30, "saved_ms": plan.saved_ms, "plan": str(plan)}
        row |= {"recomputation_ms": plan.recomputation_ms, "kept_gib": plan.kept_bytes / 2**30}
        row |= {"host_gib": plan.host_bytes / 2**30}
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="llama-3-8b", choices=["llama-3-8b", "qwen3-0.6b"])
    parser.add_argument("--layers", type=int)
    parser.add_argument("--shape", default="8x4096")
    parser.add_argument("--budgets", nargs="*", default=["66", "80", "95", "110", "130", "auto"])
    parser.add_argument("--host", help="GiB of the host's memory that may keep results")
    parser.add_argument("--selective", nargs="*", type=int, default=[])
    parser.add_argument("--without", action="store_true", help="also train without gradient checkpointing")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--attention", default="sdpa")
    arguments = parser.parse_args()
    model = build(arguments.model, arguments.layers, arguments.attention)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    batch, length = map(int, arguments.shape.split("x"))
    ids = torch.randint(0, model.config.vocab_size, (batch, length), device="cuda")
    sides = ["none"] * arguments.without + ["checkpoint"]
    sides += [f"selective {count}" for count in arguments.selective]
    sides += [f"ours {budget}" for budget in arguments.budgets]
    sides += [f"ours {budget} host {arguments.host}" for budget in arguments.budgets if arguments.host]
    print(json.dumps({"device": torch.cuda.get_device_name(), "model": arguments.model, "shape": arguments.shape}))
    for side in sides:
        gc.collect()
        torch.cuda.empty_cache()
        try:
            row = measure_side(model, optimizer, side, ids, arguments.steps)
        except torch.OutOfMemoryError:
            row = {"tokens_per_s": 0, "error": "out of memory"}
            optimizer.zero_grad(set_to_none=True)
        print(json.dumps({"side": side, **row}), flush=True)


main()
