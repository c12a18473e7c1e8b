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
    for name, tensor in tensors.items():
        if tensor is not None and device_index(tensor) != index:
            others = ", ".join(f"{name} on {t.device}" for name, t in tensors.items() if t is not None)
            raise ValueError(f"{operation}: tensors must be on one device; found {others}")
    inputs = tuple(
        (name, tuple(t.shape), tuple(t.stride()), t.dtype) for name, t in tensors.items() if t is not None
    )
    key = (operation, index, inputs, tuple(options.items()))
    call = _calls.get(key)
    if call is None:
        if len(_calls) >= _MOST_CALLS:
            _calls.clear()
        call = _calls[key] = _library.prepare(operation, index, inputs, options)
    return call


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
