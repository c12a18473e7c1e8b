"""Tests in processes of their own: some code, or a script or a function run once a rank, over gloo.

They are forked from a server that has imported torch and transformers, which takes a process several seconds, and
nothing of this package. So a test's process finds the package as a new one does, with the environment it is given.
"""

import itertools
import multiprocessing
import os
import sys
import tempfile
import textwrap

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing

IMPORTED = ["torch", "torch.distributed.fsdp", "torch.distributed.tensor", "transformers.models.llama.modeling_llama"]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(IMPORTED)
SECONDS = 240
NUMBERS = itertools.count()

START = """
import os, sys
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
# What was to be shown is shown; torch's gloo threads now and then abort a process that tears them down.
os._exit(0)
"""


class Forked:
    """A process that runs `code`, with sys.argv[1:] and changes of the environment."""

    def __init__(self, code, folder, *arguments, **environment):
        number = next(NUMBERS)
        self.files = [folder / f"{name}-{number}" for name in ("out", "err")]
        self.process = SERVER.Process(target=_execute, args=(code, arguments, environment, *map(str, self.files)))
        self.process.start()

    def wait(self):
        """Its exit status, what it printed, and its errors."""
        self.process.join(SECONDS)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(self.files[1].read_text()[-2000:])
        return self.process.exitcode, *(file.read_text() for file in self.files)


def _execute(code, arguments, environment, *files):
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(environment)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})


def forked(code, *arguments, expected=0, **environment):
    """What a process prints that ends with the expected status; its errors, where that is another than 0."""
    with tempfile.TemporaryDirectory() as folder:
        status, out, errors = Forked(code, Path(folder), *arguments, **environment).wait()
    assert status == expected, f"{status}: {errors[-2000:]}"
    if expected:
        return errors
    return out.strip()


def run_ranks(script, folder, *arguments, ranks=2, kind="cpu"):
    """Runs `script` in each of some processes, which know `rank`, `ranks`, `device`, `dist` and sys.argv[4:].

    Raises AssertionError with the errors of those that did not reach its end.
    """
    code = START.format(meeting=folder / "meeting") + textwrap.dedent(script) + END
    processes = [Forked(code, folder, str(rank), str(ranks), kind, *arguments) for rank in range(ranks)]
    ends = [process.wait() for process in processes]
    assert all(status == 0 for status, _, _ in ends), "\n".join(errors[-2000:] for _, _, errors in ends)


def on_ranks(function, folder, count=2):
    """What `function(rank, count)` gives on each rank of a group, in their order. Each is a process of its own."""
    torch.multiprocessing.start_processes(
        _run, args=(function, str(folder), count), nprocs=count, start_method="forkserver"
    )
    return [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(count)]


def _run(rank, function, folder, count):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    try:
        torch.save(function(rank, count), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()
