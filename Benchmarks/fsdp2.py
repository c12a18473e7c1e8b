"""A Llama of random weights under FSDP2 on several GPUs: ours, ours with recomputation by budget, and Liger-Kernel.

Usage: python Benchmarks/fsdp2.py [--gpus N] [--upstream FOLDER] [--size 8b|tiny] [--layers N] [--shape BxT]
                                  [--budget SIZE] [--host-budget SIZE] [--limit SECONDS] [--steps N]

Each block and the whole model are sharded (`fully_shard`); weights, gradients and AdamW's states are in bf16. BxT tokens
go to each GPU. Sides: `ours` and `upstream` under Hugging Face's gradient checkpointing, `ours, recompute` under
`liger_kernel.recompute(model, budget=SIZE)`. After them each makes gradients once more, by PyTorch's deterministic
algorithms, as its fastest attention adds up in any order. They are compared with those under gradient checkpointing, whose
own are made twice, bit for bit on each rank. Upstream runs in processes of its own, from the folder that it was
installed in (`pip install --target`). Prints a Markdown table: tokens/s a GPU of the median step, the peak of
`torch.cuda.max_memory_allocated` of the first rank, and the loss (the learning rate is 0). `--size tiny` also runs
without a GPU, over gloo, where no memory is counted: give a budget in bytes. --host-budget: a third side,
`recompute(model, budget=PEAK, host_budget=SIZE)`, of the peak under gradient checkpointing and 4 GiB. --limit: seconds
for each package.
"""

import argparse
import json
import os
import subprocess
import sys

from pathlib import Path

from training_steps import measure

ROOT = Path(__file__).resolve().parent.parent
SIZES = {
    "8b": {"vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
           "num_key_value_heads": 8},
    "tiny": {"vocab_size": 1024, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
             "num_key_value_heads": 2},
}  # fmt: skip
# What a budget of the third side has beyond the peak under gradient checkpointing.
SPARE_GIB = 4


def build(size, layers, device):
    """A Llama of a size, patched and sharded before it has memory."""
    import torch

    from torch.distributed.fsdp import fully_shard
    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    from liger_kernel.transformers import apply_liger_kernel_to_llama

    config = LlamaConfig(
        **SIZES[size], num_hidden_layers=layers, max_position_embeddings=16384, tie_word_embeddings=False)  # fmt: skip
    config.use_cache = False
    with torch.device("meta"):
        model = LlamaForCausalLM(config).bfloat16()
    rotary = type(model.model.rotary_emb)(config)
    apply_liger_kernel_to_llama(model=model)
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    model.to_empty(device=device)
    model.model.rotary_emb = rotary.to(device)
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        local = parameter.to_local().detach()
        local.fill_(1.0) if "norm" in name else local.normal_(0.0, 0.02)
    return model.train()


def gradients(model, ids):
    """Of this rank's shards: the sum of each one's bits as whole numbers."""
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    model(input_ids=ids, labels=ids).loss.backward()
    torch.use_deterministic_algorithms(False)
    bits = [p.grad.to_local().view(torch.int16).sum(dtype=torch.int64) for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    return torch.stack(bits)


def alike(found, expected):
    """On all ranks."""
    import torch.distributed as dist

    same = (found == expected).all().int()
    dist.all_reduce(same, op=dist.ReduceOp.MIN)
    return bool(same)


def worker(arguments):
    import torch
    import torch.distributed as dist

    rank = int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    model = build(arguments.size, arguments.layers, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    batch, length = map(int, arguments.shape.split("x"))
    torch.manual_seed(rank)
    ids = torch.randint(0, SIZES[arguments.size]["vocab_size"], (batch, length), device=device)

    def show(side, row):
        if rank == 0:
            print("\n" + json.dumps({"side": side, **row}), flush=True)

    model.gradient_checkpointing_enable({"use_reentrant": False})
    row = measure(model, optimizer, ids, 1, arguments.steps)
    show(arguments.worker, row)
    if arguments.worker == "ours":
        expected = gradients(model, ids)
        repeat = alike(gradients(model, ids), expected)
        from liger_kernel import recompute

        sides = {"ours, recompute": {"budget": arguments.budget}}
        if arguments.host_budget:
            budget = int((row["peak_gib"] + SPARE_GIB) * 2**30)
            sides["ours, recompute, host"] = {"budget": budget, "host_budget": arguments.host_budget}
        for side, options in sides.items():
            recomputation = recompute(model, verbose=False, **options)
            row = measure(model, optimizer, ids, 3, arguments.steps)
            same = alike(gradients(model, ids), expected)
            show(side, row | {"plan": str(recomputation.plan), "same": same, "repeat": repeat})
    dist.barrier()
    dist.destroy_process_group()


def launch(side, path, arguments):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={arguments.gpus}", __file__,
        "--worker", side, "--layers", str(arguments.layers), "--shape", arguments.shape, "--budget", arguments.budget,
        "--steps", str(arguments.steps), "--size", arguments.size, *(["--host-budget", arguments.host_budget] if arguments.host_budget else []),
    ]  # fmt: skip
    known = [path, os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, known)), "OMP_NUM_THREADS": "4"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as started:
        try:
            out, err = started.communicate(timeout=arguments.limit or None)
        except subprocess.TimeoutExpired:
            # It ends its ranks; what they have shown so far is kept.
            started.terminate()
            out, err = started.communicate()
    if started.returncode:
        print(f"{side}: ended with {started.returncode}\n{err[-3000:]}", file=sys.stderr, flush=True)
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--upstream", help="the folder that Liger-Kernel is installed in")
    parser.add_argument("--size", default="8b", choices=sorted(SIZES))
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--shape", default="8x4096")
    parser.add_argument("--budget", default="auto")
    parser.add_argument("--host-budget")
    parser.add_argument("--limit", type=float, default=0)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments)
    print("| side | tokens/s a GPU | peak, GiB | loss |\n|---|---:|---:|---:|", flush=True)
    rows = []
    for side, path in {"ours": str(ROOT / "python" / "src"), "upstream": arguments.upstream}.items():
        for row in launch(side, path, arguments) if path else []:
            print(f"| {row['side']} | {row['tokens_per_s']:,.0f} | {row['peak_gib']:.1f} | {row['loss']:.6f} |", flush=True)
            rows.append(row)
    for row in rows:
        if "plan" in row:
            print(
                f"\n{row['side']}: gradients are {'' if row['same'] else 'not '}those of gradient checkpointing, which "
                f"{'repeat' if row['repeat'] else 'do not repeat'}\n{row['plan']}"
            )


main()
