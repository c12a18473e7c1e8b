"""Operations of the Swift library over torch tensors.

`_operation` makes Python functions of those that run in every layer of a model; `call` runs any operation by names.
Both keep prepared calls by what they depend on and run them through a *runner*, the one path to the library: it makes
the outputs, packs all addresses into one block and enters the library once.

A call on a small tensor is a few microseconds of such Python, so runners are compiled from text that spells out their
tensors: loops over arguments would double their time.
"""

import functools

import torch

from liger_kernel import _library

_MOST_CALLS = 8192

try:
    from torch._C import _cuda_getCurrentRawStream as _raw_stream
    from torch._C import _cuda_getDevice as _current_device
except ImportError:  # A torch without CUDA.
    _raw_stream = _current_device = None

# Allocations without the dispatcher, as compiled graphs make them. Not in every release of torch.
_guards = getattr(getattr(torch._C, "_dynamo", None), "guards", None)
_empty_on_cpu = getattr(_guards, "_empty_strided_cpu", None)
_empty_on_current_gpu = getattr(_guards, "_empty_strided_cuda", None)


def device_index(tensor):
    """-1 for the CPU, else the GPU's index.

    Raises NotImplementedError for a tensor of another kind of device.
    """
    kind = tensor.device.type
    if kind == "cpu":
        return -1
    if kind != "cuda":
        raise NotImplementedError(
            f"liger_kernel works on CPU and CUDA tensors; found one on '{tensor.device}'. Move it, or switch the "
            "kernel off"
        )
    return tensor.device.index


def stream(index):
    """The handle of a device's current stream; 0 for the CPU, whose index is -1."""
    return _raw_stream(index) if index >= 0 else 0


# All calls that are kept, by whom.
_kept = []


def keep():
    """A new place for calls, by what they depend on."""
    _kept.append({})
    return _kept[-1]


def forget():
    """Gives up all calls that are kept: the next of each kind is prepared anew."""
    for calls in _kept:
        calls.clear()


def remember(calls, key, call):
    """Keeps a call; starts anew where there are too many, as lengths may differ from step to step."""
    if len(calls) >= _MOST_CALLS:
        calls.clear()
    calls[key] = call
    return call


_runners = keep()


def call(name, tensors, **options):
    """Runs an operation; its outputs as a dict by name.

    tensors: name to tensor or None; they are taken as they lie. options: those that are None are left out.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    options = {name: value for name, value in options.items() if value is not None}
    arrays = [(name, t.shape, t.stride(), t.dtype, t.get_device()) for name, t in tensors.items()]
    key = (name, *arrays, *options.items())
    found = _runners.get(key)
    if found is None:
        prepared = prepare(name, tensors, options)
        names = [output for output, _, _ in prepared.outputs]
        found = remember(_runners, key, (names, runner(prepared, next(iter(tensors.values())).device)))
    names, run = found
    return dict(zip(names, run(*tensors.values())))


def prepare(name, tensors, options):
    """The library's call for tensors by name. Raises ValueError if they are on different devices."""
    index = device_index(next(iter(tensors.values())))
    if any(device_index(tensor) != index for tensor in tensors.values()):
        places = ", ".join(f"{name} on {t.device}" for name, t in tensors.items())
        raise ValueError(f"{name}: tensors must be on one device; found {places}")
    inputs = [(name, tuple(t.shape), t.stride(), t.dtype) for name, t in tensors.items()]
    return _library.prepare(name, index, inputs, options)


def contiguous_runner(name, tensors, options, outputs):
    """The runner of an operation for tensors like these, by name, some of them None: it makes them contiguous."""
    there = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
    uses = ["skip" if t is None else "use" if t.is_contiguous() else "copy" for t in tensors.values()]
    return runner(prepare(name, there, options), next(iter(there.values())).device, uses, outputs)


def lying_runner(name, tensors, options, outputs):
    """As `contiguous_runner`, of tensors as they lie."""
    there = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    uses = ["skip" if t is None else "use" for t in tensors.values()]
    return runner(prepare(name, there, options), next(iter(there.values())).device, uses, outputs)


def runner(call, device, uses=None, outputs=None, strides=None):
    """A function of tensors like those that a call was prepared for, which gives its outputs.

    uses: for each tensor that the function takes, "use", "copy" (make it contiguous first) or "skip" (the operation
    has no such input); None if it takes the call's. outputs: names of what the function returns, alone if it is one;
    None for a tuple of the call's. strides: those of the call's outputs; None for contiguous ones.
    """
    uses = _settled(uses or ["use"] * call.input_count, call.input_sizes)
    made = [name for name, _, _ in call.outputs]
    returned = tuple(made if outputs is None else (name if name in made else None for name in outputs))
    result = ", ".join("None" if name is None else f"y{made.index(name)}" for name in returned)
    if outputs is None or len(outputs) != 1:
        result = f"({result},)" if result else "()"
    make = _maker(uses, len(made), call.workspace > 0, device.type == "cuda", result)
    values = {"empty": _allocator(device), "bytes": (call.workspace,), "uint8": torch.uint8}
    for number, (_, shape, dtype) in enumerate(call.outputs):
        values[f"shape{number}"], values[f"dtype{number}"] = shape, dtype
        values[f"strides{number}"] = strides[number] if strides else _contiguous(shape)
    return make(call, device.index, _raw_stream, **values)


def _settled(uses, sizes):
    """Uses that look at the sign which a tensor has outside of its memory.

    Imaginary parts of conjugated numbers have one. They have gaps in memory, which a copy closes, and settles the sign
    with that; a single number has no gaps, so it is looked at.
    """
    sizes = iter(sizes)
    return tuple("settle" if use != "skip" and next(sizes) == 1 else use for use in uses)


@functools.cache
def _maker(uses, output_count, has_workspace, on_gpu, result):
    """Makes runners of one form: the text of the one path to the library."""
    taken = [f"x{i}" for i in range(len(uses))]
    used = [x for x, use in zip(taken, uses) if use != "skip"]
    made = [f"y{i}" for i in range(output_count)]
    copies = [f"{x} = {x}.contiguous()" for x, use in zip(taken, uses) if use == "copy"]
    copies += [f"{x} = {x}.resolve_neg() if {x}.is_neg() else {x}" for x, use in zip(taken, uses) if use == "settle"]
    outputs = [f"y{i} = empty(shape{i}, strides{i}, dtype{i})" for i in range(output_count)]
    layouts = [f"shape{i}, strides{i}, dtype{i}" for i in range(output_count)]
    if has_workspace:
        outputs.append("workspace = empty(bytes, (1,), uint8)")
    pointers = [f"{x}.data_ptr()" for x in [*used, *made, *["workspace"] * has_workspace]]
    lines = "".join(f"        {line}\n" for line in [*copies, *outputs])
    source = f"""
def make(call, index, stream, {", ".join([*layouts, "empty", "bytes", "uint8"])}):
    handle, enter, pack = call.handle, call.enter, call.pack

    def run({", ".join(taken)}):
{lines}        packed = pack(handle, {"stream(index)" if on_gpu else "0"}, {len(pointers)}, {", ".join(pointers)})
        status = enter(packed)
        if status:
            failed(call, status, packed, {", ".join(used)})
        return {result}

    return run
"""
    return define(source, "make", failed=_failed)


def _failed(call, status, packed, *tensors):
    """Deals with a run's status.

    A tensor of a device that has no index looks like the CPU's, but has no address; nor has one without memory.
    """
    from liger_kernel.ops.utils import has_memory

    for tensor in tensors:
        device_index(tensor)
        if not has_memory(tensor):
            raise NotImplementedError(
                f"liger_kernel reads tensors from memory, which a {type(tensor).__name__} does not keep its values in. "
                "Dequantise or densify it first, or switch the kernel off"
            )
    call.recover(status, packed)


def define(source, name, **names):
    """The function of a name that a text defines, and that refers to others by name."""
    exec(compile(source, f"<liger_kernel: {name}>", "exec"), names)
    return names[name]


def _contiguous(shape):
    """The strides of a contiguous tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def _allocator(device):
    """Makes tensors on a device from shape, strides and dtype, all of them plain tuples."""
    if device.type == "cpu" and _empty_on_cpu is not None:
        return _empty_on_cpu

    def anywhere(shape, strides, dtype):
        return torch.empty_strided(shape, strides, dtype=dtype, device=device)

    if device.type == "cpu" or _empty_on_current_gpu is None:
        return anywhere
    if torch.cuda.device_count() == 1:
        return _empty_on_current_gpu

    def on_gpu(shape, strides, dtype):
        return (_empty_on_current_gpu if _current_device() == device.index else anywhere)(shape, strides, dtype)

    return on_gpu
