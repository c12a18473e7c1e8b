"""Implementations of operations by name. There is one here, Swift's; upstream's names for theirs lead to it."""

import os

IMPL = "swift"
_ALIASES = {"swift", "triton", "nvidia-triton", "cutile", "nvidia-cutile", "cutedsl", "nvidia-cutedsl"}
_OPERATIONS = {
    "rms_norm", "layer_norm", "softmax", "swiglu", "geglu", "rope", "cross_entropy", "fused_add_rms_norm",
    "fused_linear_cross_entropy", "fused_linear_jsd", "jsd", "kl_div",
}  # fmt: skip
_chosen = None


class ImplNotAvailableError(RuntimeError):
    """An implementation was asked for by a name that nothing has."""


def available_impls(op_name, device=None):
    """Names of the implementations of an operation that serve a device; none for an unknown operation."""
    kind = "cpu" if device is None else str(device).split(":")[0]
    return [IMPL] if op_name in _OPERATIONS and kind in ("cpu", "cuda") else []


def get_impl():
    """The name that `set_impl` was given, else that of the environment; None if neither."""
    return _chosen or os.environ.get("LIGER_KERNEL_IMPL") or os.environ.get("LIGER_KERNEL_BACKEND")


def set_impl(name):
    """Chooses an implementation for all operations; None leaves the choice to the package.

    Raises ImplNotAvailableError for a name that nothing has.
    """
    global _chosen
    _chosen = check_impl("liger_kernel", name)


def check_impl(operation, impl, mode=None):
    """The name of the implementation that serves a request; None where none was asked for.

    Raises ImplNotAvailableError for an unknown name and ValueError for a mode.
    """
    if mode not in (None, "default"):
        raise ValueError(f"{operation}: there is no mode {mode!r}; leave it out or give 'default'")
    if impl is None:
        return None
    if impl not in _ALIASES:
        raise ImplNotAvailableError(f"{operation}: no implementation is called {impl!r}; registered: {IMPL}")
    return impl
