"""Helpers that modules of upstream's layout import from here."""

import contextlib
import functools
import importlib.metadata

import torch

from liger_kernel.ops._primitive import PLAIN


def ensure_contiguous(fn):
    """A decorator that makes every tensor argument contiguous."""

    @functools.wraps(fn)
    def wrapper(ctx, *args, **kwargs):
        def contiguous(x):
            return x.contiguous() if isinstance(x, torch.Tensor) else x

        return fn(ctx, *map(contiguous, args), **{name: contiguous(x) for name, x in kwargs.items()})

    return wrapper


def calculate_settings(n):
    """The power of two from n on, and the warps for it, in upstream's terms; our kernels do not need them.

    Raises RuntimeError above 65536, upstream's limit.
    """
    block = 1 << max(0, (n - 1).bit_length())
    if block > 65536:
        raise RuntimeError(f"Cannot launch a kernel for {n} features: the block of {block} is above 65536")
    warps = 4 if block < 2048 else 8 if block < 8192 else 16 if block < 32768 else 32
    return block, warps


def compare_version(package, operator, target):
    """Whether a package is installed and its version compares to `target` as the operator says."""
    from packaging.version import Version

    try:
        found = Version(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False
    return operator(found, Version(target))


def is_hip():
    """Whether this is a torch for AMD's GPUs."""
    return torch.version.hip is not None


def device_context(device):
    """Makes a GPU current; nothing for the CPU."""
    device = torch.device(device)
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _amp(name, *arguments, **options):
    """Torch's decorator of a name, for the kind of device that there is.

    Which one that is, is asked when something is decorated and not on import, as the question starts CUDA's driver.
    """
    decorator = getattr(getattr(torch, "amp", None), name, None)
    if decorator is None:
        return getattr(torch.cuda.amp, name)(*arguments, **options)
    return decorator(*arguments, device_type="cuda" if torch.cuda.is_available() else "cpu", **options)


amp_custom_fwd = functools.partial(_amp, "custom_fwd")
amp_custom_bwd = functools.partial(_amp, "custom_bwd")


def gathered(tensor):
    """A distributed tensor as a whole; any other as it is."""
    # The types first: asking a tensor for what it does not have costs a microsecond.
    if type(tensor) in PLAIN:
        return tensor
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def has_memory(tensor):
    """Whether a kernel finds a tensor's values in its memory.

    A subclass that says itself what operations do (weights of quantisation libraries, lazy tensors) has codes there, or
    nothing, and so has a layout that is not strided. A distributed tensor is asked after `gathered`.
    """
    kind = type(tensor)
    has_own_values = kind not in PLAIN and kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
    return not has_own_values and tensor.layout is torch.strided


def autocast_dtype(kind):
    """The type that autocast gives a linear layer's tensors on a kind of device, or None where it is off."""
    try:
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    except TypeError:  # Before torch 2.4.
        if kind == "cuda":
            return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    except RuntimeError:  # A kind that has no autocast, such as meta.
        return None


def tracked(*tensors):
    """Tensors as they are, or detached in `torch.no_grad`, where a Function is still told that they need gradients."""
    if torch.is_grad_enabled():
        return tensors
    return tuple(None if t is None else t.detach() for t in tensors)


class _TritonTypes(dict):
    """Torch's types to Triton's, which this package has none of: any use says so."""

    def __missing__(self, dtype):
        raise RuntimeError(
            f"torch_to_triton_dtype[{dtype}]: liger_kernel has no Triton kernels, so there is no Triton type to give. "
            "Use triton.language's own, such as tl.bfloat16"
        )


torch_to_triton_dtype = _TritonTypes()
