"""Draws shapes of row kernels by a seed and times them on one GPU, as shares of the bandwidth of a copy.

    PYTHONPATH=FOLDER python3 Benchmarks/random_rows.py [--count N] [--seed S] [--only NAME ...]

FOLDER holds a package `liger_kernel`. Arrays are bf16 and of 100 to 400 MiB; half of the widths are multiples of 8, half
are not. A share is the least bytes an operation moves, over its time, relative to a copy that moves as many bytes and is
timed in turns with it. Times are device times with cold caches, medians; the GPU is kept busy until the host has handed it
a whole run. Cross entropy's rows exceed a block's shared memory. Printed: a row a shape, then the worst of each operation.
"""

import argparse
import random
import statistics

import torch

MARKS = {"cross entropy": 0.80}
MARK = 0.90


def tensor(*shape, grad=True):
    return torch.randn(shape, device="cuda", dtype=torch.bfloat16).requires_grad_(grad)


def functional():
    from liger_kernel.transformers import functional

    return functional


# Each gives a function, its leaves, and the bytes that forward, and forward and backward, move in multiples of x.
def softmax(rows, columns):
    x = tensor(rows, columns)
    return lambda: functional().liger_softmax(x), [x], (2, 5)


def rms_norm(rows, columns):
    x, w = tensor(rows, columns), tensor(columns)
    return lambda: functional().liger_rms_norm(x, w, 1e-6, in_place=False), [x, w], (2, 5)


def layer_norm(rows, columns):
    x, w, b = tensor(rows, columns), tensor(columns), tensor(columns)
    return lambda: functional().liger_layer_norm(x, w, b, 1e-6), [x, w, b], (2, 5)


def swiglu(rows, columns):
    a, b = tensor(rows, columns), tensor(rows, columns)
    return lambda: functional().liger_swiglu(a, b), [a, b], (3, 8)


def geglu(rows, columns):
    a, b = tensor(rows, columns), tensor(rows, columns)
    return lambda: functional().liger_geglu(a, b), [a, b], (3, 8)


def cross_entropy(rows, columns):
    x, labels = tensor(rows, columns), torch.randint(columns, (rows,), device="cuda")
    # The gradient is found in the forward pass.
    return lambda: functional().liger_cross_entropy(x, labels), [x], (2, 2)


def rope(tokens, heads, kv_heads, size):
    q = tensor(1, tokens, heads, size).detach().transpose(1, 2).requires_grad_()
    k = tensor(1, tokens, kv_heads, size).detach().transpose(1, 2).requires_grad_()
    tables = [tensor(1, tokens, size, grad=False) for _ in range(2)]
    return lambda: functional().liger_rope(q, k, *tables), [q, k], (2, 4)


CASES = {
    "softmax": (softmax, (1_000, 140_000)),
    "RMSNorm": (rms_norm, (256, 32_768)),
    "LayerNorm": (layer_norm, (256, 32_768)),
    "SwiGLU": (swiglu, (1_000, 30_000)),
    "GeGLU": (geglu, (1_000, 30_000)),
    "cross entropy": (cross_entropy, (116_000, 262_144)),
    "RoPE": (rope, None),
}


def draw(number, generator):
    name = list(CASES)[number % len(CASES)]
    mebibytes = generator.uniform(100, 400)
    if name == "RoPE":
        size, kv_heads = generator.choice([64, 96, 128, 256]), generator.choice([1, 2, 4, 8])
        heads = kv_heads * generator.choice([1, 3, 4, 7, 8])
        return name, (int(mebibytes * 2**20 / 2 / size / (heads + kv_heads)), heads, kv_heads, size)
    low, high = CASES[name][1]
    columns = int(low * (high / low) ** generator.random())
    # Every other draw of an operation is of a multiple of 8.
    columns = columns // 8 * 8 if number // len(CASES) % 2 == 0 else columns // 8 * 8 + generator.choice(range(1, 8))
    return name, (max(1, int(mebibytes * 2**20 / 2 / columns)), columns)


def milliseconds(functions, rounds=9):
    """Medians of each, in turns."""
    flush = torch.empty(256 << 20, device="cuda", dtype=torch.uint8)
    times = [[] for _ in functions]
    for turn in range(rounds + 2):
        for function, found in zip(functions, times):
            flush.zero_()
            torch.cuda._sleep(1_500_000)
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            function()
            end.record()
            torch.cuda.synchronize()
            if turn > 1:
                found.append(start.elapsed_time(end))
    return [statistics.median(found) for found in times]


def measure(name, shape):
    function, leaves, moved = CASES[name][0](*shape)
    # Of what forward reads and writes once: q and k together, x alone.
    size = sum(t.nbytes for t in leaves) if name == "RoPE" else leaves[0].nbytes
    results = function()
    results = results if isinstance(results, tuple) else (results,)
    upstream = [torch.ones_like(r) for r in results]

    def copy(times):
        source = torch.empty(times * size // 4, device="cuda", dtype=torch.bfloat16)
        target = torch.empty_like(source)
        return lambda: target.copy_(source)

    def forward():
        with torch.no_grad():
            function()

    def both():
        made = function()
        torch.autograd.grad(made, leaves, upstream)

    if name == "cross entropy":
        times = milliseconds([both, copy(moved[1])])
        return [times[1] / times[0]]
    times = milliseconds([forward, copy(moved[0]), both, copy(moved[1])])
    return [times[1] / times[0], times[3] / times[2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--only", nargs="*", choices=list(CASES))
    given = parser.parse_args()
    generator, worst = random.Random(given.seed), {}
    print(f"{torch.cuda.get_device_name()}, seed {given.seed}")
    print("| operation | shape | forward, share of copy | forward + backward |\n|---|---|---:|---:|")
    for number in range(given.count):
        name, shape = draw(number, generator)
        if given.only and name not in given.only:
            continue
        torch.manual_seed(number)
        shares = measure(name, shape)
        torch.cuda.empty_cache()
        cells = ["-"] * (2 - len(shares)) + [f"{100 * share:.0f}%" for share in shares]
        print(f"| {name} | {'x'.join(map(str, shape))} | {' | '.join(cells)} |", flush=True)
        for kind, share in zip(["forward + backward"] if len(shares) == 1 else ["forward", "both"], shares):
            worst[name, kind] = min(worst.get((name, kind), (9, ())), (share, shape))
    print("\n| worst of | pass | shape | share of copy | mark |\n|---|---|---|---:|---:|")
    for (name, kind), (share, shape) in worst.items():
        mark = MARKS.get(name, MARK)
        print(f"| {name} | {kind} | {'x'.join(map(str, shape))} | {100 * share:.0f}% | {100 * mark:.0f}% |")


if __name__ == "__main__":
    main()
