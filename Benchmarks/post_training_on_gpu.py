"""Times losses of post-training on one NVIDIA GPU, side by side, with their memory: ours, PyTorch's, Liger-Kernel's.

Usage: python Benchmarks/post_training_on_gpu.py [--upstream FOLDER] [--plot FILE] [--only NAME ...] [--sides SIDE ...]
       python Benchmarks/post_training_on_gpu.py --in-turns [--only NAME ...]
       python Benchmarks/post_training_on_gpu.py --device cpu --small

bf16, 8 answers of 1,024 tokens (pairs, where a loss has pairs), hidden size 4,096, 128,256 classes; divergences of
4,096 rows of 32,000. Each side runs in a process of its own: PyTorch (logits, log-probabilities in fp32, then the
formula), torch.compile of the same, Liger-Kernel where --upstream names a folder that it is installed in
(`pip install --target`), and ours (python/src of this repository), which also runs with bf16 sums of the weight's
gradient, as Liger-Kernel has them. A cell shows the medians of a forward pass without gradients and of forward and
backward, in milliseconds with half of what the middle half spreads over, and the peak of the second above inputs and
returned gradients. A second table has ORPO over the length of a sequence, which --plot draws as SVG. A side that
fails or runs out of memory is a cell; one that takes longer than --limit seconds does not reach its last cells.

A GPU that has waited for a compiler is cooler and faster than one that has worked. So --in-turns times forward passes
without gradients of torch.compile and of ours in turns in one process.
"""

import argparse
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import time

from pathlib import Path

from post_training_report import plot
from post_training_report import table

ROOT = Path(__file__).resolve().parent.parent
TORCH, COMPILE, UPSTREAM, OURS, LEAN = "torch", "torch.compile", "Liger-Kernel", "ours", "ours, bf16 sums"
SIDES = [TORCH, COMPILE, UPSTREAM, OURS]
ANSWER_LOSSES = ["ORPO", "SimPO", "CPO", "DPO with reference", "KTO", "KTO with reference"]
DIVERGENCES = ["JSD", "KL", "TVD"]
# Answers, tokens, hidden size, classes; rows and classes of divergences; lengths of the second table.
FULL = ((8, 1024, 4096, 128256), (4096, 32000), [512, 1024, 2048, 4096, 8192])
SMALL = ((4, 6, 16, 61), (8, 50), [2, 4, 8])


# The losses in plain PyTorch.

def answers(x, w, labels, average):
    """Log-probabilities of answers, and the mean of -log p over all tokens of the first half of them."""
    import torch

    logs = (x @ w.T).float().log_softmax(-1)
    counts = labels != -100
    tokens = torch.where(counts, logs.gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1), 0.0)
    sums = tokens.sum(-1)
    first = labels.shape[0] // 2
    nll = -sums[:first].sum() / counts[:first].sum()
    return (sums / counts.sum(-1) if average else sums), nll


def plain_answer_loss(name):
    import torch
    import torch.nn.functional as F

    def loss(x, w, labels, reference, good):
        own, nll = answers(x, w, labels, name in ("ORPO", "SimPO"))
        if reference is not None:
            with torch.no_grad():
                others = answers(reference, w, labels, False)[0]
            own = own - others
        if name.startswith("KTO"):
            return (1 - torch.sigmoid(torch.where(good, 0.1, -0.1) * own)).mean()
        chosen, rejected = own.chunk(2)
        if name == "ORPO":
            odds = (chosen - rejected) - (torch.log1p(-chosen.exp()) - torch.log1p(-rejected.exp()))
            return nll - 0.1 * F.logsigmoid(odds).mean()
        ratio = 0.1 * (chosen - rejected) - (0.5 if name == "SimPO" else 0.0)
        return -F.logsigmoid(ratio).mean() + (0.0 if name.startswith("DPO") else nll)

    return loss


def plain_divergence(name):
    import torch
    import torch.nn.functional as F

    def jsd(x, y):
        p, q = y.exp(), x.exp()
        log_m = (0.5 * (p + q)).log()
        return (0.5 * (p * (y - log_m) + q * (x - log_m))).sum() / x.shape[0]

    return {
        "JSD": lambda x, y: jsd(x.float(), y.float()),
        "KL": lambda x, y: F.kl_div(x.float(), y.float(), reduction="batchmean"),
        "TVD": lambda x, y: 0.5 * torch.abs(x.float() - y.float()).sum() / x.shape[0],
    }[name]


# The losses of both packages called liger_kernel.


def package_answer_loss(name):
    import torch

    from liger_kernel import chunked_loss as losses

    kind, _, reference_word = name.partition(" with ")
    if kind == "KTO":
        made = losses.LigerFusedLinearKTOLoss(beta=0.1, use_ref_model=bool(reference_word))
    elif kind == "DPO":
        made = losses.LigerFusedLinearDPOLoss(beta=0.1)
    else:
        made = getattr(losses, f"LigerFusedLinear{kind}Loss")(beta=0.1)

    def loss(x, w, labels, reference, good):
        others = {} if reference is None else {"ref_input": reference, "ref_weight": w.detach()}
        if kind != "KTO":
            return made(w, x, labels, **others)[0]
        zero = torch.zeros(1, device=x.device)
        return made(x, w, labels, preference_labels=good, kl=zero, **others)[0]

    return loss


def package_divergence(name):
    from liger_kernel.transformers import functional

    return {
        "JSD": lambda x, y: functional.liger_jsd(x, y),
        "KL": lambda x, y: functional.liger_kl_div(x, y, reduction="batchmean"),
        "TVD": lambda x, y: functional.liger_tvd(x, y, reduction="batchmean"),
    }[name]


# What they are given.


class Data:
    """Tensors that all cases share."""

    def __init__(self, device, small):
        import torch

        self.torch, self.device = torch, device
        self.answers, self.rows, self.lengths = SMALL if small else FULL
        _, _, hidden, classes = self.answers
        torch.manual_seed(0)
        self.w = torch.empty(classes, hidden, device=device, dtype=torch.bfloat16).normal_(0, hidden**-0.5)

    def sequences(self, length=None):
        """An input, labels of which some do not count, a reference's input, and which answers are good."""
        torch = self.torch
        torch.manual_seed(1)
        count, usual, hidden, classes = self.answers
        shape = (count, length or usual)
        x = torch.randn(*shape, hidden, device=self.device, dtype=torch.bfloat16)
        labels = torch.randint(classes, shape, device=self.device)
        labels[:, : shape[1] // 8] = -100
        return x, labels, (x * 0.5).contiguous(), torch.arange(count, device=self.device) % 2 == 0

    def distributions(self, name):
        """A student and a teacher: logarithms for JSD, the student's for KL, probabilities for TVD."""
        self.torch.manual_seed(2)
        pair = [self.torch.randn(*self.rows, device=self.device).log_softmax(-1) for _ in range(2)]
        logarithms = {"JSD": (True, True), "KL": (True, False), "TVD": (False, False)}[name]
        return [(t if keep else t.exp()).to(self.torch.bfloat16) for t, keep in zip(pair, logarithms)]


# Measuring.


class Clock:
    def __init__(self, torch, device):
        self.torch, self.on_gpu = torch, device == "cuda"
        self.flush = torch.empty(1 << 28 if self.on_gpu else 1, dtype=torch.uint8, device=device)

    def milliseconds(self, run):
        if not self.on_gpu:
            start = time.perf_counter()
            run()
            return (time.perf_counter() - start) * 1e3
        torch = self.torch
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        # Cold caches, and a device that is busy while the host hands over the run.
        self.flush.zero_()
        torch.cuda._sleep(2_000_000)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)

    def summary(self, run, rounds):
        times = sorted(self.milliseconds(run) for _ in range(rounds))
        spread = (times[len(times) * 3 // 4] - times[len(times) // 4]) / 2
        return [statistics.median(times), spread]

    def measure(self, loss, leaves, rounds):
        """A forward pass alone, forward and backward, and the peak of the latter above inputs and gradients."""
        torch = self.torch

        def both():
            for leaf in leaves:
                leaf.grad = None
            value = loss()
            value.backward()
            return value.detach()

        def forward():
            with torch.no_grad():
                loss()

        both()
        row = {"loss": both().item(), "peak": None}
        if self.on_gpu:
            for leaf in leaves:
                leaf.grad = None
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            both()
            torch.cuda.synchronize()
            returned = sum(leaf.grad.nbytes for leaf in leaves)
            row["peak"] = (torch.cuda.max_memory_allocated() - before - returned) / 2**20
        row["both"] = self.summary(both, rounds)
        for leaf in leaves:
            leaf.grad = None
        forward()
        row["forward"] = self.summary(forward, rounds)
        return row


def worker(side, device, small, only, limit, rounds):
    """Measures one side and prints a line of JSON a cell."""
    import torch

    # Liger-Kernel compiles one function for all of its losses and lengths, and would stop at the eighth form of it.
    torch._dynamo.config.recompile_limit = 64
    end = time.monotonic() + limit
    data, clock = Data(device, small), Clock(torch, device)
    packaged = side not in (TORCH, COMPILE)
    compiled = torch.compile if side == COMPILE else lambda function: function

    def cell(name, make, repeats, **more):
        if time.monotonic() > end:
            row = {"error": "not reached"}
        else:
            try:
                loss, leaves = make()
                row = clock.measure(loss, leaves, repeats)
            except Exception as error:  # a side that fails is a cell, not the end
                row = {"error": "out of memory" if "OutOfMemory" in type(error).__name__ else type(error).__name__}
                print(f"{side}, {name}: {error}"[:2000], file=sys.stderr)
        print(json.dumps({"side": side, "case": name, **row, **more}), flush=True)
        loss = leaves = None
        if side == COMPILE:
            torch._dynamo.reset()
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()

    def answer_case(name, length=None):
        def make():
            x, labels, reference, good = data.sequences(length)
            reference = reference if "reference" in name else None
            loss = (package_answer_loss if packaged else plain_answer_loss)(name)
            loss, leaves = compiled(loss), [x.requires_grad_(), data.w.requires_grad_()]
            return (lambda: loss(x, data.w, labels, reference, good)), leaves

        return make

    def divergence_case(name):
        def make():
            x, y = data.distributions(name)
            loss = compiled((package_divergence if packaged else plain_divergence)(name))
            return (lambda: loss(x.requires_grad_(), y)), [x]

        return make

    for name in ANSWER_LOSSES:
        if name in only:
            cell(name, answer_case(name), rounds)
            if side == OURS:
                with bf16_sums():
                    cell(name, answer_case(name), rounds, side=LEAN)
    for name in DIVERGENCES:
        if name in only:
            cell(name, divergence_case(name), 3 * rounds)
    # torch.compile would compile anew for each length.
    for length in data.lengths if "ORPO" in only and side != COMPILE else []:
        cell(f"length {length}", answer_case("ORPO", length), max(3, rounds // 2))


def in_turns(device, small, only, rounds):
    """Forward passes without gradients of torch.compile and of ours, in turns, so that both find the GPU as warm."""
    import torch

    data, clock = Data(device, small), Clock(torch, device)
    print("| forward alone, ms | torch.compile | ours | ours / torch.compile |\n|---|---:|---:|---:|")
    for name in [name for name in ANSWER_LOSSES if name in only]:
        x, labels, reference, good = data.sequences(None)
        reference = reference if "reference" in name else None
        losses = torch.compile(plain_answer_loss(name)), package_answer_loss(name)
        runs = [lambda loss=loss: loss(x, data.w, labels, reference, good) for loss in losses]
        with torch.no_grad():
            for run in 2 * runs:
                run()
            pairs = [[clock.milliseconds(run) for run in runs] for _ in range(3 * rounds)]
        compiled, ours = (statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(own / other for other, own in pairs)
        print(f"| {name} | {compiled:.2f} | {ours:.2f} | {ratio:.3f} |", flush=True)
        torch._dynamo.reset()


@contextlib.contextmanager
def bf16_sums():
    import torch

    import liger_kernel

    liger_kernel.set_loss_memory(accum_dtype=torch.bfloat16)
    try:
        yield
    finally:
        liger_kernel.set_loss_memory()


# The sides beside each other.


def run(side, path, arguments):
    command = [sys.executable, __file__, "--worker", side, "--device", arguments.device]
    command += ["--limit", str(arguments.limit), "--rounds", str(arguments.rounds), "--only", *arguments.only]
    command += ["--small"] if arguments.small else []
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = f"{path}:{environment.get('PYTHONPATH', '')}"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.stderr and (done.returncode or any("error" in row for row in rows)):
        print(f"{side}: {done.stderr[-1500:]}", file=sys.stderr)
    return {(row["side"], row["case"]): row for row in rows}


def savings(cases, found):
    """What part of PyTorch's memory each loss leaves free, and how far its value is from PyTorch's."""
    for case in cases:
        plain = found.get((TORCH, case), {})
        for side in (OURS, LEAN):
            row = found.get((side, case), {})
            if row.get("peak") and plain.get("peak"):
                print(f"{case}, {side}: {1 - row['peak'] / plain['peak']:.1%} less memory than torch (mark 80%)")
            if "loss" in row and "loss" in plain:
                distance = abs(row["loss"] - plain["loss"]) / abs(plain["loss"])
                if distance > 0.02:
                    print(f"{case}, {side}: loss {row['loss']:.6g}, torch has {plain['loss']:.6g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream")
    parser.add_argument("--plot")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--small", action="store_true", help="tiny shapes, to try the script out")
    parser.add_argument("--only", nargs="+", default=[*ANSWER_LOSSES, *DIVERGENCES])
    parser.add_argument("--sides", nargs="+", default=SIDES)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--limit", type=float, default=60, help="seconds for each side")
    parser.add_argument("--in-turns", action="store_true", help="forward alone, beside torch.compile, in one process")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.in_turns:
        sys.path.insert(0, str(ROOT / "python" / "src"))
        return in_turns(arguments.device, arguments.small, arguments.only, arguments.rounds)
    if arguments.worker:
        limits = (arguments.limit, arguments.rounds)
        return worker(arguments.worker, arguments.device, arguments.small, arguments.only, *limits)
    paths = {TORCH: None, COMPILE: None, UPSTREAM: arguments.upstream, OURS: str(ROOT / "python" / "src")}
    sides = [side for side in arguments.sides if side != UPSTREAM or arguments.upstream]
    found = {}
    for side in sides:
        start = time.monotonic()
        found.update(run(side, paths[side], arguments))
        print(f"{side}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    shown_sides = [*sides, LEAN] if OURS in sides else sides
    shapes, rows, lengths = SMALL if arguments.small else FULL
    by_shape = {"x".join(map(str, shapes)): ANSWER_LOSSES, "x".join(map(str, rows)): DIVERGENCES}
    for title, cases in by_shape.items():
        cases = [case for case in cases if case in arguments.only]
        if cases:
            table(title, cases, shown_sides if cases[0] in ANSWER_LOSSES else sides, found)
    print()
    savings([*ANSWER_LOSSES, *DIVERGENCES], found)
    if "ORPO" in arguments.only:
        by_length = [side for side in sides if side != COMPILE]
        table("ORPO over length", [f"length {length}" for length in lengths], by_length, found)
        if arguments.plot:
            plot(arguments.plot, lengths, by_length, found)


main()
