"""Errors of a linear layer's cross entropy in bf16 relative to float64, over logits of several sizes, on one GPU.

    python3 Benchmarks/linear_loss_errors.py ours=FOLDER upstream=FOLDER [--plot FILE.svg]

FOLDER holds a package `liger_kernel`, such as an unpacked wheel; each runs in a process of its own. `torch` is
PyTorch's loss of a layer in bf16; `bf16 logits` is it of logits rounded to bf16 and all else in fp32, with products of
factors rounded once. Printed: errors of the loss (absolute, of a mean), and of the gradients of input and weight (norm of
the difference over the norm), for 512 tokens, hidden size 512, 8,192 classes. --plot draws them over the logits' standard
deviation, and over how far the label's probability is from 1.
"""

import argparse
import json
import os
import subprocess
import sys

import torch

import line_chart

TOKENS, HIDDEN, CLASSES = 512, 512, 8192
# Standard deviation of the logits; probability of the label, or None for labels at random.
CASES = [(1, None), (4, None), (10, None), (30, None), (4, 0.5), (4, 0.9), (4, 0.999), (4, 0.99999)]


def sample(deviation, probability):
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.randn(TOKENS, HIDDEN, device="cuda", generator=generator)
    w = torch.randn(CLASSES, HIDDEN, device="cuda", generator=generator) * deviation / HIDDEN**0.5
    labels = torch.randint(CLASSES, (TOKENS,), device="cuda", generator=generator)
    if probability is not None:
        # Moves each token along its label's weight until the label has about that probability.
        labels = torch.randperm(CLASSES, device="cuda", generator=generator)[:TOKENS]
        own = w[labels]
        others = torch.logsumexp((x @ w.T).scatter(1, labels[:, None], -torch.inf), 1)
        wanted = others + torch.logit(torch.tensor(probability, dtype=torch.float64)).float().cuda()
        x += ((wanted - (x * own).sum(1)) / (own * own).sum(1))[:, None] * own
    return x.bfloat16(), w.bfloat16(), labels


def exact(x, w, labels):
    x, w = x.double().requires_grad_(), w.double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ w.T, labels)
    return loss, *torch.autograd.grad(loss, (x, w))


def rounded_logits(x, w, labels):
    """Loss and gradients of logits that are rounded, all else in fp32 but for the factors of products."""
    logits = (x @ w.T).float()
    p = logits.softmax(1)
    p[torch.arange(len(labels)), labels] -= 1
    g = (p / len(labels)).bfloat16().float()
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return loss, (g @ w.float()).bfloat16(), (g.T @ x.float()).bfloat16()


def run(label, x, w, labels):
    if label == "bf16 logits":
        return rounded_logits(x, w, labels)
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    if label == "torch":
        loss = torch.nn.functional.cross_entropy(x @ w.T, labels)
    else:
        from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

        loss = liger_fused_linear_cross_entropy(x, w, labels)
    return loss, *torch.autograd.grad(loss, (x, w))


def child(label):
    for case in CASES:
        given = sample(*case)
        expected, found = exact(*given), run(label, *given)
        errors = [abs(found[0].double() - expected[0]).item()]
        errors += [((f.double() - e).norm() / e.norm()).item() for f, e in zip(found[1:], expected[1:])]
        print(json.dumps(errors), flush=True)


def plot(path, found):
    """A panel for each of loss and dx over either kind of case."""
    deviations = [(i, deviation) for i, (deviation, probability) in enumerate(CASES) if probability is None]
    distances = [(i, 1 - probability) for i, (_, probability) in enumerate(CASES) if probability is not None]
    panels = [
        (f"{name} over {axis}", {label: [(x, rows[i][part]) for i, x in cases] for label, rows in found.items()})
        for axis, cases in (("standard deviation of logits", deviations), ("1 - probability of the label", distances))
        for part, name in ((0, "error of the loss"), (1, "error of dx"))
    ]  # fmt: skip
    line_chart.write(path, panels, "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--plot", metavar="FILE", help="an SVG of the errors")
    given = parser.parse_args()
    packages = dict(package.split("=", 1) for package in given.packages)
    found = {}
    for label, folder in {**packages, "bf16 logits": "", "torch": ""}.items():
        environment = {**os.environ, "PYTHONPATH": folder} if folder else os.environ
        process = subprocess.run(
            [sys.executable, __file__, "--child", label], stdout=subprocess.PIPE, text=True, env=environment
        )
        found[label] = [json.loads(line) for line in process.stdout.splitlines()]
    print("| logits | label's probability | " + " | ".join(f"{label}: loss, dx, dw" for label in found) + " |")
    print("|---|---|" + "---|" * len(found))
    for i, (deviation, probability) in enumerate(CASES):
        cells = [", ".join(f"{e:.1e}" for e in rows[i]) if i < len(rows) else "-" for rows in found.values()]
        print(f"| {deviation} | {probability or 'random'} | " + " | ".join(cells) + " |")
    if given.plot:
        plot(given.plot, {label: rows for label, rows in found.items() if len(rows) == len(CASES)})


if __name__ == "__main__":
    child(sys.argv[2]) if sys.argv[1:2] == ["--child"] else main()
