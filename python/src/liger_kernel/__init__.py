"""Fused kernels for training language models: the Swift library swift-liger behind upstream's names."""

from liger_kernel.backends import available_backends
from liger_kernel.backends import available_impls
from liger_kernel.backends import get_backend
from liger_kernel.backends import get_impl
from liger_kernel.backends import set_backend
from liger_kernel.backends import set_impl

__all__ = ["available_impls", "get_impl", "set_impl", "available_backends", "get_backend", "set_backend"]


def __getattr__(name):
    """`__version__`, the library's: what transformers reads of a package that runs from its sources."""
    if name == "__version__":
        from liger_kernel import _library

        try:
            return _library.library().liger_version().decode()
        except ImportError as error:
            raise AttributeError(f"liger_kernel has no version without its library: {error}") from error
    raise AttributeError(f"module 'liger_kernel' has no attribute {name!r}")


def launch_counts():
    """How often each kernel was launched by this process, by name: what proves that kernels ran."""
    from liger_kernel._library import launch_counts

    return launch_counts()


def set_loss_memory(accum_dtype=None, budget_bytes=None):
    """What chunked losses sum weight gradients in, and the bytes of a chunk's logits: see `ops._memory`."""
    from liger_kernel.ops._memory import set_loss_memory

    set_loss_memory(accum_dtype, budget_bytes)


def report(model):
    """Which modules of a Hugging Face model run which kernels, and why others do not: printed and returned."""
    from liger_kernel.transformers.reading import report

    return report(model)


def recompute(model, budget="auto", verbose=True):
    """Gradient checkpointing that keeps products and attention while a budget holds them: see `recomputation`."""
    from liger_kernel.recomputation import recompute

    return recompute(model, budget, verbose)


def fp8(model, scaling="tensor", gradients=None, head=False, skip=(), emulate=False):
    """Products of linear layers in 8-bit floats; weights and the optimiser stay as they are: see `float8`."""
    from liger_kernel.float8 import fp8

    return fp8(model, scaling, gradients, head, skip, emulate)
