"""Operations of the Swift library over torch tensors.

`call` is the general way: it makes the outputs and gives them back by name. Operations that are called for
every layer look their prepared call up themselves; `prepared` makes it.
"""

import torch

from liger_kernel import _library

_calls = {}
_MOST_CALLS = 8192

try:
    from torch._C import _cuda_getCurrentRawStream as _raw_stream
except ImportError:  # A torch without CUDA.

    def _raw_stream(index):
        raise RuntimeError("this torch was built without CUDA")


def stream(index):
    """The handle of a device's current stream; 0 for the CPU, whose index is -1."""
    return _raw_stream(index) if index >= 0 else 0


def device_index(tensor):
    """-1 for the CPU, else the GPU's index.

    Raises NotImplementedError for a tensor of another kind of device.
    """
    kind = tensor.device.type
    if kind == "cpu":
        return -1
    if kind != "cuda" or torch.version.hip is not None:
        raise NotImplementedError(
            f"liger_kernel works on CPU and CUDA tensors; found one on '{tensor.device}'. Move it, or switch the "
            "kernel off"
        )
    return tensor.device.index


def prepared(operation, index, tensors, options):
    """The call for tensors of these shapes, kept for the next time.

    tensors: name to tensor or None. Raises ValueError if they are on different devices.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    arrays = [(name, t.shape, t.stride(), t.dtype, t.get_device()) for name, t in tensors.items()]
    key = (operation, *arrays, *options.items())
    call = _calls.get(key)
    if call is not None:
        return call
    if any(device_index(tensor) != index for tensor in tensors.values()):
        places = ", ".join(f"{name} on {t.device}" for name, t in tensors.items())
        raise ValueError(f"{operation}: tensors must be on one device; found {places}")
    inputs = [(name, tuple(shape), tuple(strides), dtype) for name, shape, strides, dtype, _ in arrays]
    return remember(_calls, key, _library.prepare(operation, index, inputs, options))


def remember(calls, key, call):
    """Keeps a call; starts anew where there are too many, as lengths may differ from step to step."""
    if len(calls) >= _MOST_CALLS:
        calls.clear()
    calls[key] = call
    return call


def run(call, index, addresses):
    """Runs a call of at most 8 addresses in the device's current stream."""
    current = stream(index)
    status = call.run(current, *addresses, *(0,) * (8 - len(addresses)))
    if status:
        call.recover(status, current, addresses)


def call(operation, tensors, **options):
    """Runs an operation; its outputs as a dict by name.

    tensors: name to tensor or None; what must be contiguous, is. options: those that are None are left out.
    """
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    options = {name: value for name, value in options.items() if value is not None}
    first = next(iter(tensors.values()))
    index = device_index(first)
    prepared_call = prepared(operation, index, tensors, options)
    device = first.device
    outputs = {
        name: torch.empty(shape, dtype=dtype, device=device) for name, shape, dtype in prepared_call.outputs
    }
    addresses = [tensor.data_ptr() for tensor in tensors.values()]
    addresses += [tensor.data_ptr() for tensor in outputs.values()]
    if prepared_call.workspace:
        workspace = torch.empty(prepared_call.workspace, dtype=torch.uint8, device=device)
        addresses.append(workspace.data_ptr())
    prepared_call.run_many(stream(index), addresses)
    return outputs
