"""Implementations of operations by name. There is one here, Swift's; upstream's names for theirs lead to it."""

IMPL = "swift"
_ALIASES = {"swift", "triton", "nvidia-triton", "cutile", "nvidia-cutile", "cutedsl", "nvidia-cutedsl"}


class ImplNotAvailableError(RuntimeError):
    """An implementation was asked for by a name that nothing has."""


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
