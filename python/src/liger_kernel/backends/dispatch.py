"""Which implementation of an operation runs: what the caller, the environment or `set_impl` names, else the best.

In order: the argument `impl`; LIGER_KERNEL_IMPL_<OPERATION>; LIGER_KERNEL_IMPL; `set_impl`; else, of those that can
run on the tensors' device, the one of least `preference_rank`. BACKEND stands for IMPL in older code. With
LIGER_KERNEL_STRICT=1 nothing runs in the place of what was asked for.
"""

import os
import threading
import warnings

from typing import List
from typing import Optional

from liger_kernel.backends import registry
from liger_kernel.backends.registry import OpImpl

SWIFT = "swift"
# Names of upstream's usual implementation, for which this package's stands in.
_USUAL = frozenset({"triton", "nvidia-triton"})
# Names of its other ones: ours runs, with a warning, as there are none of theirs here.
_OTHERS = frozenset({"cutile", "nvidia-cutile", "cutedsl", "nvidia-cutedsl"})


class ImplNotAvailableError(RuntimeError):
    """An implementation was asked for by a name that nothing has, or that cannot run here."""


class NoImplAvailableError(RuntimeError):
    """No implementation of an operation can run here."""


class LigerImplFallbackWarning(UserWarning):
    """Another implementation runs than the one that was asked for."""


BackendNotAvailableError = ImplNotAvailableError
NoBackendAvailableError = NoImplAvailableError
LigerBackendFallbackWarning = LigerImplFallbackWarning

_GLOBAL_IMPL: Optional[str] = None
# What older code assigns instead.
_GLOBAL_BACKEND: Optional[str] = None
_FALLBACK_NOTIFIED = set()
_available = {}
_lock = threading.RLock()


def set_impl(name: Optional[str]) -> None:
    """Chooses an implementation for all operations; None leaves the choice to the package.

    Raises ImplNotAvailableError for a name that no operation has.
    """
    global _GLOBAL_IMPL, _GLOBAL_BACKEND
    check_name(name, "set_impl")
    with _lock:
        _GLOBAL_IMPL = _GLOBAL_BACKEND = name


def get_impl() -> Optional[str]:
    """The name that the environment gives for all operations, else that of `set_impl`; None if neither."""
    return _environment("IMPL", "BACKEND") or _GLOBAL_IMPL or _GLOBAL_BACKEND


def available_impls(op_name, device=None) -> List[str]:
    """Names of the implementations that can run on a device (None: the current one), the preferred first."""
    key = (op_name, registry._version, _kind(device))
    with _lock:
        if key not in _available:
            entries = [e for e in registry.list_registered(op_name) if e.capability.is_satisfied(device)]
            _available[key] = [e.impl_name for e in sorted(entries, key=lambda e: e.preference_rank)]
        return list(_available[key])


def all_impls(op_name) -> List[str]:
    """Names of all implementations of an operation, the preferred first, whether they can run here or not."""
    return [e.impl_name for e in sorted(registry.list_registered(op_name), key=lambda e: e.preference_rank)]


def clear_available_cache() -> None:
    """Forgets what was available, after a change that nobody can see from here, such as an installed package."""
    with _lock:
        _available.clear()


def resolve_impl(op_name, requested=None, device=None) -> OpImpl:
    """The implementation that a call runs.

    Raises ImplNotAvailableError for a name that nothing has or that cannot run on the device, NoImplAvailableError
    where there is no implementation at all.
    """
    name = requested or _environment(f"IMPL_{op_name.upper()}", f"BACKEND_{op_name.upper()}") or get_impl()
    if name is not None:
        return _named(op_name, name, device)
    names = available_impls(op_name, device)
    if not names:
        reasons = "; ".join(
            f"{e.impl_name}: {e.capability.reason_if_unsatisfied(device)}" for e in registry.list_registered(op_name)
        )
        raise NoImplAvailableError(
            f"{op_name}: no implementation can run here" + (f" ({reasons})" if reasons else "; none is registered")
        )
    return registry.get_registered(op_name, names[0])


def chosen_impl(op_name, requested, device) -> str:
    """The name of the implementation that `resolve_impl` finds."""
    return resolve_impl(op_name, requested, device).impl_name


# A compiled program keeps what was chosen when it was compiled. This is what torch.compiler.assume_constant_result
# does, which would import torch here, and its compiler.
chosen_impl._dynamo_marked_constant = True


def _named(op_name, name, device):
    entry = registry.get_registered(op_name, name)
    if entry is None and name in _USUAL | _OTHERS:
        entry = registry.get_registered(op_name, SWIFT)
        if entry is not None and name in _OTHERS:
            emit_fallback_warning(op_name, name, SWIFT, "this package has no implementation of that name")
    if entry is None:
        known = ", ".join(all_impls(op_name)) or "none"
        raise ImplNotAvailableError(f"{op_name}: no implementation is called {name!r}. Registered: {known}")
    reason = entry.capability.reason_if_unsatisfied(device)
    if reason is not None:
        raise ImplNotAvailableError(f"{op_name}: the implementation {name!r} cannot run here: {reason}")
    return entry


def check_impl(op_name, impl=None, mode=None) -> Optional[str]:
    """The name of the implementation that serves a request; None where none was asked for.

    Raises ImplNotAvailableError for a name that nothing has, and ValueError for a mode that it does not have.
    """
    entry = resolve_impl(op_name, impl)
    check_mode(op_name, mode, entry.modes)
    return None if impl is None else entry.impl_name


def check_mode(op_name, mode, modes) -> None:
    """Raises ValueError for a mode that is none of an implementation's."""
    if mode is not None and mode not in modes:
        known = ", ".join(map(repr, modes)) or "none"
        raise ValueError(f"{op_name}: there is no mode {mode!r}; leave it out or give one of {known}")


def dispatch(op_name, *args, impl=None, backend=None, **kwargs):
    """Runs an operation by the implementation that `resolve_impl` finds for the first tensor's device."""
    requested = backend if impl is None else impl
    return registry._REGISTRY[op_name, chosen_impl(op_name, requested, device_of(args))].call(*args, **kwargs)


def emit_fallback_warning(op_name, requested, actual, reason) -> None:
    """Says once that another implementation runs than was asked for; with LIGER_KERNEL_STRICT=1 raises."""
    text = f"{op_name}: {requested!r} was asked for and {actual!r} runs: {reason}"
    if is_strict():
        raise ImplNotAvailableError(f"{text}. Unset LIGER_KERNEL_STRICT to allow that, or ask for {actual!r}")
    with _lock:
        if (op_name, requested, actual) in _FALLBACK_NOTIFIED:
            return
        _FALLBACK_NOTIFIED.add((op_name, requested, actual))
    warnings.warn(text, LigerImplFallbackWarning, stacklevel=3)


def is_strict() -> bool:
    """Whether LIGER_KERNEL_STRICT forbids other implementations than those asked for."""
    return os.environ.get("LIGER_KERNEL_STRICT", "").lower() in ("1", "true", "yes", "on")


def check_name(name, asker) -> None:
    """Raises ImplNotAvailableError for a name that no operation's implementation has."""
    if name is None or name == SWIFT or name in _USUAL | _OTHERS:
        return
    known = {entry for _, entry in registry._REGISTRY}
    if name not in known:
        others = ", ".join(sorted(known | {SWIFT} | _USUAL | _OTHERS))
        raise ImplNotAvailableError(f"{asker}: no implementation is called {name!r}. Give one of {others}")


def check_environment() -> None:
    """Raises ImplNotAvailableError if the environment names an implementation that nothing has."""
    check_name(_environment("IMPL", "BACKEND"), "LIGER_KERNEL_IMPL")


def _kind(device):
    """What availability depends on of a device, the current one for None."""
    import torch

    name = None if device is None else str(device)
    if not torch.cuda.is_available() or (name or "cuda").split(":")[0] != "cuda":
        return name, None
    return name, torch.cuda.get_device_capability(device)


def _environment(*names):
    return next((value for name in names if (value := os.environ.get(f"LIGER_KERNEL_{name}"))), None)


def device_of(arguments):
    """The first tensor's device; None where there is no tensor."""
    import torch

    return next((a.device for a in arguments if isinstance(a, torch.Tensor)), None)


resolve_backend = resolve_impl
available_backends = available_impls
all_backends = all_impls
get_backend = get_impl
set_backend = set_impl
