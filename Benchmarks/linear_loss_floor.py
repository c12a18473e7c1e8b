"""Holds linear + cross entropy against what its matrix products alone take, and its weight gradient against float64.

Usage: python Benchmarks/linear_loss_floor.py [--rounds N] [--shapes 16384x2048x151936 ...] [--device cpu --small]

Time, forward and backward in bf16: ours exact (fp32 sums), ours with `accum_dtype=torch.bfloat16`, and the bound: three
library products and one pass over the logits per chunk, with the weight gradient summed in fp32. All in one process, in
turns. Memory is the peak above inputs and returned gradients.

Error: of the weight gradient, norm-wise and relative, for 1 to 1,024 chunks, beside that of one unchunked bf16 product
of the same logits' gradients. Prints Markdown tables.
"""

import argparse
import statistics
import sys
import time

import torch

from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

SHAPES = ["8192x4096x128256", "32768x4096x128256", "16384x2048x151936"]


def operands(rows, hidden, vocabulary, device):
    torch.manual_seed(0)
    x = torch.randn(rows, hidden, device=device, dtype=torch.bfloat16)
    w = torch.randn(vocabulary, hidden, device=device, dtype=torch.bfloat16) * 0.02
    return x.requires_grad_(), w.requires_grad_(), torch.randint(vocabulary, (rows,), device=device)


def bound(x, w, chunk):
    """The products of a chunked loss, and one pass over each chunk's logits."""
    x, w = x.detach(), w.detach()
    logits = x.new_empty(chunk, w.shape[0])
    dx, dw = torch.empty_like(x), torch.zeros_like(w, dtype=torch.float32)

    def run():
        for start in range(0, x.shape[0], chunk):
            rows = x[start : start + chunk]
            part = logits[: rows.shape[0]]
            torch.mm(rows, w.T, out=part)
            part.mul_(0.5)
            torch.mm(part, w, out=dx[start : start + chunk])
            if x.is_cuda:
                torch.addmm(dw, part.T, rows, out_dtype=torch.float32, out=dw)
            else:
                dw.addmm_(part.T.float(), rows.float())
        return dw.to(torch.bfloat16)

    return run


def timed(functions, rounds, device):
    """Median milliseconds of each, in turns, and how far half of the runs spread."""
    times = [[] for _ in functions]
    for turn in range(rounds + 2):
        for function, own in zip(functions, times):
            synchronize(device)
            start = time.perf_counter()
            function()
            synchronize(device)
            if turn > 1:
                own.append(1e3 * (time.perf_counter() - start))
    return [summary(own) for own in times]


def summary(times):
    times.sort()
    middle = statistics.median(times)
    return middle, (times[len(times) * 3 // 4] - times[len(times) // 4]) / 2 / middle


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def training(x, w, labels, **options):
    def run():
        x.grad = w.grad = None
        liger_fused_linear_cross_entropy(x, w, labels, **options).backward()

    return run


def peak(function, x, w, device):
    """MiB above inputs and returned gradients."""
    if device != "cuda":
        return float("nan")
    function()
    x.grad = w.grad = None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() + 2 * (x.numel() + w.numel())
    function()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def chunk_of(rows, vocabulary):
    """Rows of a chunk as our losses cut them by themselves: about even, of whole tiles, within 640 MiB of logits."""
    chunks = -(-rows // ((640 << 20) // (2 * vocabulary)))
    return min(rows, -(-rows // chunks // 256) * 256)


def compare_times(shapes, rounds, device):
    print("| shape | bound | exact | exact / bound | bf16 sums | memory, exact | memory, bf16 sums |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for rows, hidden, vocabulary in shapes:
        x, w, labels = operands(rows, hidden, vocabulary, device)
        chunk = chunk_of(rows, vocabulary)
        exact, loose = training(x, w, labels), training(x, w, labels, accum_dtype=torch.bfloat16)
        times = timed([bound(x, w, chunk), exact, loose], rounds, device)
        cells = [f"{middle:.2f} ms (±{spread:.1%})" for middle, spread in times]
        ratio = times[1][0] / times[0][0]
        memory = [peak(function, x, w, device) for function in (exact, loose)]
        print(
            f"| {rows}x{hidden}x{vocabulary} | {cells[0]} | {cells[1]} | {ratio:.3f} | {cells[2]} | "
            f"{memory[0]:,.0f} MiB | {memory[1]:,.0f} MiB |",
            flush=True,
        )
        del x, w, labels, exact, loose
        if device == "cuda":
            torch.cuda.empty_cache()


def weight_gradients(rows, hidden, vocabulary, device):
    """In float64, and by one bf16 product of gradients that were rounded once."""
    x, w, labels = operands(rows, hidden, vocabulary, device)

    def gradient(logits):
        p = torch.softmax(logits, -1)
        p[torch.arange(rows, device=device), labels] -= 1
        return p / rows

    with torch.no_grad():
        exact = gradient(x.double() @ w.double().T).T @ x.double()
        logits = gradient((x @ w.T).float()).bfloat16()
        return x, w, labels, exact, logits.T @ x


def compare_errors(rows, hidden, vocabulary, device):
    x, w, labels, exact, unchunked = weight_gradients(rows, hidden, vocabulary, device)

    def error(found):
        return ((found.double() - exact).norm() / exact.norm()).item()

    plain = error(unchunked)
    print(f"\nWeight gradient, {rows}x{hidden}x{vocabulary}: one bf16 product errs by {plain:.3e}\n")
    print("| chunks | error | ratio | with bf16 sums |\n|---:|---:|---:|---:|")
    for chunks in (1, 4, 16, 64, 256, 1024):
        budget = rows // chunks * vocabulary * 2
        found = []
        for options in ({}, {"accum_dtype": torch.bfloat16}):
            training(x, w, labels, budget_bytes=budget, **options)()
            found.append(error(w.grad))
        print(f"| {chunks} | {found[0]:.3e} | {found[0] / plain:.3f} | {found[1]:.3e} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shapes", nargs="+", metavar="ROWSxHIDDENxVOCABULARY", help="time these alone")
    parser.add_argument("--small", action="store_true", help="tiny shapes, to try the script")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("linear_loss_floor: PyTorch sees no GPU here. Run it on a machine with one.")
    if arguments.small:
        compare_times([(64, 32, 256)], arguments.rounds, arguments.device)
        compare_errors(1024, 16, 64, arguments.device)
    else:
        shapes = [tuple(map(int, shape.split("x"))) for shape in arguments.shapes or SHAPES]
        compare_times(shapes, arguments.rounds, arguments.device)
        if not arguments.shapes:
            compare_errors(8192, 1024, 16384, arguments.device)


if __name__ == "__main__":
    main()
