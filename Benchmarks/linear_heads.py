"""Times a linear layer with cross entropy of several packages in turns on one GPU, each in a process of its own.

    python3 Benchmarks/linear_heads.py ours=FOLDER [upstream=FOLDER] [quack=FOLDER] [--shapes NxHxV ...] [--rounds N]

FOLDER goes to the front of PYTHONPATH: an unpacked wheel, and for upstream's CuTe back end and QuACK nvidia-cutlass-dsl
beside it; `torch.compile` needs none. Printed for each shape: the median of forward and backward
together, how far half of the rounds spread, its ratio to ours, the forward pass without gradients, MiB above inputs and
gradients, and how far the input's gradient is from float32's. Sides that do not run say why.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

import torch
import torch.nn.functional as F

SHAPES = ["8192x4096x128256", "4096x4096x128256", "16384x1024x151936", "8191x768x50257", "4096x3584x152064"]


def ours():
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss = LigerFusedLinearCrossEntropyLoss()
    return lambda x, w, ids: loss(w, x, ids)


def upstream_cute():
    from liger_kernel.ops.cutedsl.ops.fused_linear_cross_entropy_sm90 import LigerFusedLinearCrossEntropySM90Function

    return LigerFusedLinearCrossEntropySM90Function.apply


def upstream_scaled():
    from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction

    def loss(x, w, ids):
        found = LigerFusedLinearScaledCrossEntropyFunction.apply(x, w, ids, 1.0)
        return (found[0] if isinstance(found, tuple) else found).mean()

    return loss


def quack():
    from quack.linear_cross_entropy import chunked_linear_cross_entropy

    return lambda x, w, ids: chunked_linear_cross_entropy(x, w, ids)


def compiled():
    return torch.compile(lambda x, w, ids: F.cross_entropy((x @ w.T).float(), ids))


# Which folder a side needs, and what it runs.
SIDES = {
    "ours": ("ours", ours), "upstream": ("upstream", ours), "upstream CuTe": ("upstream", upstream_cute),
    "upstream scaled": ("upstream", upstream_scaled), "QuACK": ("quack", quack), "torch.compile": (None, compiled),
}  # fmt: skip


class Side:
    """What a child times: one shape at a time."""

    def __init__(self, make):
        self.loss = make()

    def start(self, shape):
        tokens, hidden, classes = map(int, shape.split("x"))
        torch.manual_seed(0)
        self.x = torch.randn(tokens, hidden, device="cuda").bfloat16().requires_grad_()
        self.w = (0.02 * torch.randn(classes, hidden, device="cuda")).bfloat16().requires_grad_()
        self.ids = torch.randint(classes, (tokens,), device="cuda")
        for _ in range(3):
            self.step(), self.forward()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        gradients = self.step()
        above = torch.cuda.max_memory_allocated() - before - sum(g.nbytes for g in gradients)
        return {"MiB": round(above / 2**20), "off": self.off(gradients[0])}

    def step(self):
        return torch.autograd.grad(self.loss(self.x, self.w, self.ids), [self.x, self.w])

    @torch.no_grad()
    def forward(self):
        return self.loss(self.x, self.w, self.ids)

    @torch.no_grad()
    def off(self, gradient, rows=64):
        logits = self.x[:rows].float() @ self.w.float().T
        logits = logits.softmax(-1)
        logits[torch.arange(rows), self.ids[:rows]] -= 1
        exact = logits @ self.w.float() / len(self.ids)
        return ((gradient[:rows].float() - exact).norm() / exact.norm()).item()

    def turn(self):
        return {"both": milliseconds(self.step), "forward": milliseconds(self.forward)}


def milliseconds(run, runs=3):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(runs):
        run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / runs


def child(name):
    """Answers each line of standard input, a shape or "turn", with one of JSON."""
    answers, sys.stdout = sys.stdout, sys.stderr
    side = None
    for line in map(str.strip, sys.stdin):
        try:
            side = side or Side(SIDES[name][1])
            found = side.turn() if line == "turn" else side.start(line)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:150]}
        print(json.dumps(found), file=answers, flush=True)


class Child:
    def __init__(self, name, folder):
        paths = [folder, os.environ.get("PYTHONPATH")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--child", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"error": "the process ended"}
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else {"error": "the process ended"}


def show(shape, children, rounds):
    starts = {name: each.ask(shape) for name, each in children.items()}
    turns = {name: [] for name, start in starts.items() if "error" not in start}
    for _ in range(rounds):
        for name in turns:
            turns[name].append(children[name].ask("turn"))
    print(f"\n| {shape} | ms | half of rounds | of ours | forward | MiB | input's gradient off |\n|---|" + "---:|" * 6)
    usual = statistics.median(turn["both"] for turn in turns["ours"]) if turns.get("ours") else float("nan")
    for name, start in starts.items():
        if name not in turns:
            print(f"| {name} | {start['error']} |")
            continue
        both = sorted(turn["both"] for turn in turns[name])
        middle, spread = statistics.median(both), both[-1 - len(both) // 4] - both[len(both) // 4]
        forward = statistics.median(turn["forward"] for turn in turns[name])
        print(
            f"| {name} | {middle:.2f} | {spread:.2f} | {middle / usual:.3f} | {forward:.2f} | {start['MiB']} | "
            f"{start['off']:.1e} |", flush=True,
        )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--shapes", nargs="*", default=SHAPES, metavar="NxHxV")
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    folders = dict(package.split("=", 1) for package in given.packages)
    children = {
        name: Child(name, folders.get(key)) for name, (key, _) in SIDES.items() if key is None or key in folders
    }
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for shape in given.shapes:
        show(shape, children, given.rounds)


if __name__ == "__main__":
    child(sys.argv[2]) if sys.argv[1:2] == ["--child"] else main()
