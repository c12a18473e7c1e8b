"""Tests of several processes: a script or a function run once a rank, over gloo."""

import os
import subprocess
import sys
import textwrap

import torch
import torch.distributed as dist
import torch.multiprocessing

HERE = os.path.dirname(os.path.abspath(__file__))

START = """
import os, sys
sys.path[:0] = {paths!r}
import torch, torch.distributed as dist
rank, ranks, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
device = torch.device("cpu") if kind == "cpu" else torch.device("cuda", rank)
if kind == "cuda":
    torch.cuda.set_device(device)
backend = "gloo" if kind == "cpu" else "nccl"
dist.init_process_group(backend, init_method="file://{meeting}", rank=rank, world_size=ranks)
"""

END = """
dist.barrier()
print("same", flush=True)
# What was to be shown is shown; torch's gloo threads now and then abort a process that tears them down.
os._exit(0)
"""


def run_ranks(script, folder, *arguments, ranks=2, kind="cpu"):
    """Runs `script` in each of some processes, which know `rank`, `ranks`, `device`, `dist` and sys.argv[4:].

    Raises AssertionError with the errors of those that did not reach its end.
    """
    start = START.format(paths=[HERE, *(path for path in sys.path if path)], meeting=folder / "meeting")
    code = start + textwrap.dedent(script) + END
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(ranks), kind, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert all("same" in out for out, _ in outputs), "\n".join(error[-2000:] for _, error in outputs)


def on_ranks(function, folder, count=2):
    """What `function(rank, count)` gives on each rank of a group, in their order. Each is a process of its own."""
    torch.multiprocessing.spawn(_run, args=(function, str(folder), count), nprocs=count)
    return [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(count)]


def _run(rank, function, folder, count):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    try:
        torch.save(function(rank, count), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()
