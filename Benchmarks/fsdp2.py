"""A Llama of random weights under FSDP2 on several GPUs: ours, ours with recomputation by budget, and Liger-Kernel.

Usage: python Benchmarks/fsdp2.py [--gpus N] [--upstream FOLDER] [--layers N] [--shape BxT] [--budget SIZE] [--steps N]

Each block and the whole model are sharded (`fully_shard`); weights, gradients and AdamW's states are in bf16. BxT tokens
go to each GPU. Sides: `ours` and `upstream` under Hugging Face's gradient checkpointing, `ours, recompute` under
`liger_kernel.recompute(model, budget=SIZE)`. Upstream runs in processes of its own, from the folder that it was
installed in (`pip install --target`). Prints a Markdown table: tokens/s a GPU of the median step, the peak of
`torch.cuda.max_memory_allocated` of the first rank, and the loss (the learning rate is 0).
"""

import argparse
import json
import os
import subprocess
import sys

from pathlib import Path

from training_steps import measure

ROOT = Path(__file__).resolve().parent.parent


def build(layers):
    """The Llama-3-8B shape, patched and sharded before it has memory."""
    import torch

    from torch.distributed.fsdp import fully_shard
    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    from liger_kernel.transformers import apply_liger_kernel_to_llama

    config = LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=layers, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=16384, tie_word_embeddings=False)  # fmt: skip
    config.use_cache = False
    with torch.device("meta"):
        model = LlamaForCausalLM(config).bfloat16()
    rotary = type(model.model.rotary_emb)(config)
    apply_liger_kernel_to_llama(model=model)
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    model.to_empty(device="cuda")
    model.model.rotary_emb = rotary.to("cuda")
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        local = parameter.to_local().detach()
        local.fill_(1.0) if "norm" in name else local.normal_(0.0, 0.02)
    return model.train()


def worker(arguments):
    import torch
    import torch.distributed as dist

    torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl", device_id=torch.device("cuda", int(os.environ["LOCAL_RANK"])))
    model = build(arguments.layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    batch, length = map(int, arguments.shape.split("x"))
    torch.manual_seed(dist.get_rank())
    ids = torch.randint(0, 128256, (batch, length), device="cuda")

    def show(side, row):
        if dist.get_rank() == 0:
            print("\n" + json.dumps({"side": side, **row}), flush=True)

    model.gradient_checkpointing_enable({"use_reentrant": False})
    show(arguments.worker, measure(model, optimizer, ids, 1, arguments.steps))
    if arguments.worker == "ours":
        from liger_kernel import recompute

        recomputation = recompute(model, budget=arguments.budget, verbose=False)
        row = measure(model, optimizer, ids, 3, arguments.steps)
        show("ours, recompute", row | {"plan": str(recomputation.plan)})
    dist.barrier()
    dist.destroy_process_group()


def launch(side, path, arguments):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={arguments.gpus}", __file__,
        "--worker", side, "--layers", str(arguments.layers), "--shape", arguments.shape, "--budget", arguments.budget,
        "--steps", str(arguments.steps),
    ]  # fmt: skip
    known = [path, os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, known)), "OMP_NUM_THREADS": "4"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(done.stderr[-3000:], file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--upstream", help="the folder that Liger-Kernel is installed in")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--shape", default="8x4096")
    parser.add_argument("--budget", default="auto")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments)
    rows = launch("ours", str(ROOT / "python" / "src"), arguments)
    if arguments.upstream:
        rows += launch("upstream", arguments.upstream, arguments)
    print("| side | tokens/s a GPU | peak, GiB | loss |")
    print("|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row['side']} | {row['tokens_per_s']:,.0f} | {row['peak_gib']:.1f} | {row['loss']:.6f} |")
    for row in rows:
        print(f"\n{row['plan']}" if "plan" in row else "", end="")


main()
