"""Host time of calls from Python, side by side: ours, torch's, and upstream's in a process of its own.

    python Benchmarks/host_time.py [--device cuda] [--upstream PYTHON]
    python Benchmarks/host_time.py --breakdown [--device cuda]
    python Benchmarks/host_time.py --device-time [--liger PATH]

--upstream names an interpreter whose environment has upstream's liger-kernel. Arrays are small, so that a GPU
waits for the host and not the host for it; the time of a call is that of a loop of many, without waiting. The
least of many short loops counts, as other processes only add to it.

--breakdown says where the time of our calls goes. --device-time asks whether kernels are as fast through Python as
from Swift: device time with cold caches as compare_on_gpu.py takes it, beside that of `liger bench`.
"""

import argparse
import json
import subprocess
import sys
import time

import torch

COLUMNS = ("no_grad", "grad", "forward_backward", "forward_backward_2048x1024")


def measure(function, device, calls=50, seconds=0.3):
    """Microseconds of a call: the least of many loops."""
    best, rounds, end = float("inf"), 0, time.perf_counter() + seconds
    for _ in range(calls):
        function()
    while rounds < 5 or time.perf_counter() < end:
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            function()
        best, rounds = min(best, (time.perf_counter() - start) / calls), rounds + 1
    return best * 1e6


def by_the_clock(function, device, calls):
    """Microseconds of a call in a long loop whose end is awaited."""
    best = float("inf")
    for _ in range(4):
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            function()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def rotary_torch(q, k, cos, sin):
    """As Hugging Face writes it."""
    def half(x):
        a, b = x.chunk(2, -1)
        return torch.cat((-b, a), -1)

    return q * cos + half(q) * sin, k * cos + half(k) * sin


def cases(library, device):
    """Name to function, its leaves that want gradients, and leaves of 2048 rows of 1024, for "ours" or "torch"."""
    functional = torch.nn.functional
    if library == "ours":
        from liger_kernel.transformers.functional import liger_rms_norm
        from liger_kernel.transformers.functional import liger_rope
        from liger_kernel.transformers.functional import liger_swiglu

        norm, gate, turn = (lambda x, w: liger_rms_norm(x, w, 1e-6)), liger_swiglu, liger_rope
    else:
        norm, turn = (lambda x, w: functional.rms_norm(x, w.shape, w, 1e-6)), rotary_torch

        def gate(a, b):
            return functional.silu(a) * b

    def leaf(*shape):
        return torch.randn(*shape, device=device, dtype=torch.bfloat16, requires_grad=True)

    def heads(rows):
        return leaf(1, rows, 8, 128).detach().transpose(1, 2).requires_grad_()

    def angles(rows):
        return torch.randn(1, rows, 128, device=device, dtype=torch.bfloat16)

    w = leaf(1024)
    return {
        "RMSNorm": (norm, lambda rows: (leaf(rows, 1024), w)),
        "SwiGLU": (gate, lambda rows: (leaf(rows, 1024), leaf(rows, 1024))),
        "RoPE": (
            lambda q, k, cos, sin: turn(q, k, cos, sin),
            lambda rows: (heads(rows), heads(rows), angles(rows), angles(rows)),
        ),
    }


def times(function, arguments, device):
    """A call without autograd, one with, and forward and backward passes of a small and a large array."""
    def passes(arguments, leaves, upstream):
        for tensor in leaves:
            tensor.grad = None
        results = function(*arguments)
        if isinstance(results, tuple):
            torch.autograd.backward(results, upstream)
        else:
            results.backward(upstream[0])

    found = {}
    for rows in (8, 2048):
        given = arguments(rows)
        results = function(*given)
        upstream = [torch.randn_like(r) for r in (results if isinstance(results, tuple) else (results,))]
        step = lambda: passes(given, [t for t in given if t.requires_grad], upstream)  # noqa: E731
        if rows == 8:
            with torch.no_grad():
                found["no_grad"] = measure(lambda: function(*given), device)
            found["grad"] = measure(lambda: function(*given), device)
            found["forward_backward"] = by_the_clock(step, device, 500)
        else:
            found["forward_backward_2048x1024"] = by_the_clock(step, device, 500 if device == "cuda" else 5)
    return found


def table_of(library, device):
    return {name: times(*case, device) for name, case in cases(library, device).items()}


def compare(arguments):
    tables = {"ours": table_of("ours", arguments.device), "torch": table_of("torch", arguments.device)}
    if arguments.upstream:
        command = [arguments.upstream, __file__, "--only", "--device", arguments.device]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"upstream could not be measured:\n{result.stderr[-2000:]}")
        tables["upstream"] = json.loads(result.stdout.splitlines()[-1])
    print(f"| microseconds on {arguments.device} | | " + " | ".join(COLUMNS) + " |")
    print("|---|---|" + "---:|" * len(COLUMNS))
    for name in tables["ours"]:
        for library, table in tables.items():
            print(f"| {name} | {library} | " + " | ".join(f"{table[name][c]:.1f}" for c in COLUMNS) + " |")


class _Nothing(torch.autograd.Function):
    """What autograd and its engine cost around a Function like ours that does nothing."""

    made = None

    @staticmethod
    def forward(ctx, x, w, eps, offset, casting):
        ctx.options = offset, casting
        ctx.save_for_backward(x, w, x)
        return _Nothing.made[0].detach()

    @staticmethod
    def backward(ctx, dy):
        ctx.saved_tensors, ctx.needs_input_grad
        return _Nothing.made[0].detach(), _Nothing.made[1].detach(), None, None, None


def parts(device):
    """What RMSNorm's host time consists of: a description and a function each."""
    from liger_kernel import _call
    from liger_kernel import _library
    from liger_kernel.ops import rms_norm as module

    x, w = torch.randn(8, 1024, device=device), torch.ones(1024, device=device, requires_grad=True)
    leaf, kind, index = x.clone().requires_grad_(), x.device, x.get_device()
    tensors, options = {"x": x, "weight": w}, {"eps": 1e-6, "offset": 0.0, "casting": "llama"}
    call = _call.prepare("rms_norm_forward", tensors, options | {"needs_rstd": False})
    run, empty, rms = _call.runner(call, kind), _call._allocator(kind), module.LigerRMSNormFunction
    y, rstd = module._forward.eager(x, w, 1e-6, 0.0, "llama")
    packed = call.pack(call.handle, _call.stream(index), 3, x.data_ptr(), w.data_ptr(), y.data_ptr())
    shape, strides, dtype, lib = tuple(x.shape), x.stride(), x.dtype, _library.library()
    _Nothing.made = y, torch.empty_like(w)
    nothing, upstream = super(torch.autograd.Function, _Nothing).apply, torch.randn_like(y)

    def passes(function):
        leaf.grad = w.grad = None
        function(leaf, w, 1e-6, 0.0, "llama").backward(upstream)

    return [
        ("what a tensor is: shape, layout, dtype, device",
         lambda: (x.shape, x.is_contiguous(), x.dtype, x.get_device())),
        ("new memory, torch.empty_like", lambda: torch.empty_like(x)),
        ("new memory, as we make it", lambda: empty(shape, strides, dtype)),
        ("the current stream's handle", lambda: _call.stream(index)),
        ("three addresses into a block",
         lambda: call.pack(call.handle, 0, 3, x.data_ptr(), w.data_ptr(), y.data_ptr())),
        ("into the library and back", lambda: lib.liger_call_workspace(None)),
        ("into the library, with its launch", lambda: call.enter(packed)),
        ("= all of these: the prepared call", lambda: run(x, w)),
        ("= and finding it", lambda: module._inference(x, w, 1e-6, 0.0, "llama")),
        ("= a call without autograd", lambda: module.rms_norm(x, w, 1e-6)),
        ("a recorded Function that does nothing", lambda: nothing(leaf, w, 1e-6, 0.0, "llama")),
        ("the operation, with rstd", lambda: module._forward.eager(x, w, 1e-6, 0.0, "llama")),
        ("= a call with autograd", lambda: module.rms_norm(leaf, w, 1e-6)),
        ("the backward operation", lambda: module._backward.eager(upstream, x, w, rstd, 0.0, "llama", True)),
        ("forward and backward of a Function that does nothing", (500, lambda: passes(nothing))),
        ("forward and backward of RMSNorm", (500, lambda: passes(rms.apply))),
    ]  # fmt: skip


def breakdown(device):
    print(f"| RMSNorm 8x1024 on {device} | microseconds |\n|---|---:|")
    empty = measure(lambda: None, device)
    for name, part in parts(device):
        if isinstance(part, tuple):
            taken = by_the_clock(part[1], device, part[0])
        else:
            with torch.set_grad_enabled("without autograd" not in name):
                taken = measure(part, device)
        print(f"| {name} | {taken - empty:.2f} |")


def device_time(liger, rounds):
    import compare_on_gpu as peers

    from liger_kernel import ops

    def ours(name, leaves, labels):
        return {
            "RMSNorm": lambda: ops.LigerRMSNormFunction.apply(*leaves, 1e-6),
            "SwiGLU": lambda: ops.LigerSiLUMulFunction.apply(*leaves),
            "CrossEntropy": lambda: ops.LigerCrossEntropyFunction.apply(*leaves, labels, None)[0],
        }[name]

    flush = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    print(f"{torch.cuda.get_device_name()}\n\n| operation | shape | from Swift, ms | through Python, ms | ratio |")
    print("|---|---|---:|---:|---:|")
    for name, options in (
        ("RMSNorm", {"rows": 8192, "columns": 4096}),
        ("SwiGLU", {"rows": 8192, "columns": 14336}),
        ("CrossEntropy", {"rows": 4096, "vocabulary": 128256}),
    ):
        swift, swift_spread, _ = peers.ours(liger, name, options, rounds)
        rows, columns = options.values()
        shapes = {"RMSNorm": [(rows, columns), (columns,)], "SwiGLU": [(rows, columns)] * 2}
        leaves = [peers.leaf(*shape) for shape in shapes.get(name, [(rows, columns)])]
        labels = torch.randint(columns, (rows,), device="cuda")
        dy = None if name == "CrossEntropy" else torch.randn_like(leaves[0]).detach()
        (python, spread), _ = peers.time_peer(ours(name, leaves, labels), leaves, dy, rounds, flush)
        shape = "x".join(map(str, options.values()))
        print(
            f"| {name} | {shape} | {swift:.4g} (±{swift_spread:.0%}) | {python:.4g} (±{spread:.0%}) "
            f"| {python / swift:.2f} |", flush=True,
        )  # fmt: skip
        del leaves, dy
        torch.cuda.empty_cache()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--upstream")
    parser.add_argument("--only", action="store_true", help="measure only the installed liger_kernel, as JSON")
    parser.add_argument("--breakdown", action="store_true", help="where the time of our calls goes")
    parser.add_argument("--device-time", action="store_true", help="kernels through Python beside `liger bench`")
    parser.add_argument("--liger", default=".build/release/liger", help="the command line, for --device-time")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(table_of("ours", arguments.device)))
    elif arguments.breakdown:
        breakdown(arguments.device)
    elif arguments.device_time:
        device_time(arguments.liger, arguments.rounds)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
