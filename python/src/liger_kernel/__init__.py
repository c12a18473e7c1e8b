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
    """How often each kernel was launched by this process, by name: what proves that kernels ran.

    A dictionary from a kernel's name to a count, over all devices. It is empty before the first launch.
    """
    from liger_kernel._library import launch_counts

    return launch_counts()


def set_loss_memory(accum_dtype=None, budget_bytes=None):
    """What chunked losses do where their own arguments say nothing; without arguments, the defaults.

    accum_dtype: what the weight's gradient is summed in over chunks: torch.float32, the default, or the weight's type.
    budget_bytes: what the logits of a chunk may take: bytes, or text such as "256MiB". Raises ValueError for other values.
    """
    from liger_kernel.ops._memory import set_loss_memory

    set_loss_memory(accum_dtype, budget_bytes)


def report(model):
    """Which modules of a Hugging Face model run which kernels, and why others do not: printed and returned.

    The result is a `Receipt`, read from what is bound on the model now. Raises ValueError for a model of another type.
    """
    from liger_kernel.transformers.reading import report

    return report(model)


def recompute(model, budget="auto", verbose=True, host_budget=0):
    """Gradient checkpointing of a Hugging Face model that keeps products and attention while a budget holds them.

    budget: "auto", a size such as "80GiB", or bytes. The first step is measured, the plan is made before the second.
    host_budget: memory of the host that may keep results too.
    Returns a handle whose `plan` says what is kept. Raises ValueError for models without gradient checkpointing.
    """
    from liger_kernel.recomputation import recompute

    return recompute(model, budget, verbose, host_budget)


def fp8(model, scaling="tensor", gradients=None, head=False, skip=(), emulate=False):
    """Lets a model's linear layers multiply in 8-bit floats; weights and the optimiser stay as they are.

    Arguments and errors are those of `liger_kernel.float8.fp8`. Returns a receipt of what multiplies in 8 bits.
    """
    from liger_kernel.float8 import fp8

    return fp8(model, scaling, gradients, head, skip, emulate)
