"""Implementations of operations, by operation and name: this package's own, and what others register.

    @register_impl("rms_norm", impl_name="mine", capability=Capability(min_cc=(9, 0)), preference_rank=5)
    def my_rms_norm(x, weight, eps=1e-6, **options): ...

An operation's modules can be declared instead of imported: they are imported when it is first looked up.
"""

import importlib
import inspect
import logging
import threading

from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Callable
from typing import Dict
from typing import Mapping
from typing import Optional
from typing import Tuple

from liger_kernel.backends.capability import Capability

logger = logging.getLogger(__name__)

_lock = threading.RLock()
# (operation, implementation) -> OpImpl.
_REGISTRY: Dict[Tuple[str, str], "OpImpl"] = {}
# Operation -> modules that register its implementations when they are imported.
_DISCOVERY_MAP: Dict[str, Tuple[str, ...]] = {}
# Operations whose modules are imported, or are being imported by the thread that set the event.
_DISCOVERED: Dict[str, bool] = {}
_DISCOVERY_EVENTS: Dict[str, threading.Event] = {}
_DISCOVERY_FAILURES: Dict[str, Tuple[type, str]] = {}
# Counts registrations, so that what was learnt of them can be told from what holds.
_version = 0
# Registers this package's implementations.
_OURS = "liger_kernel.functional"


@dataclass(frozen=True)
class OpImpl:
    """One implementation of one operation: a function, or an autograd Function whose `apply` is called."""

    op_name: str
    impl_name: str
    forward: Optional[Callable] = None
    autograd_function: Optional[type] = None
    capability: Capability = field(default_factory=Capability)
    modes: Tuple[str, ...] = ()
    default_mode: Optional[str] = None
    # Of those that are available, the one with the least is chosen.
    preference_rank: int = 100
    # torch dtype -> {"atol_fwd": ...}, for `liger_kernel.testing`.
    tolerances: Mapping[Any, Mapping[str, float]] = field(default_factory=dict)
    notes: str = ""

    @property
    def backend(self) -> str:
        """The implementation's name, as older releases called it."""
        return self.impl_name

    def call(self, *args, **kwargs):
        """Runs it. Raises RuntimeError if there is nothing to run, TypeError for keywords that it cannot take."""
        if self.forward is not None:
            return self.forward(*args, **kwargs)
        if self.autograd_function is None:
            raise RuntimeError(f"{self.op_name}: the implementation {self.impl_name!r} has no callable")
        # `mode` is the dispatcher's; `apply` takes no keywords.
        others = sorted(name for name in kwargs if name != "mode")
        if others:
            raise TypeError(
                f"{self.op_name}: {self.impl_name!r} is an autograd_function registration and takes no keywords; "
                f"found {', '.join(others)}. Give them by position"
            )
        return self.autograd_function.apply(*args)


def register_impl(
    op_name, *, impl_name=None, capability=None, modes=(), default_mode=None, preference_rank=100, tolerances=None,
    notes="", backend=None,
):  # fmt: skip
    """A decorator that registers a function or an autograd Function; a second one of a name replaces the first.

    backend: what older releases called impl_name. Raises TypeError where neither is given, or for anything that
    cannot be called.
    """
    name = impl_name if impl_name is not None else backend
    if name is None:
        raise TypeError(f"{op_name}: register_impl needs impl_name, the implementation's name")

    def register(target):
        if not callable(target):
            raise TypeError(f"register_impl expects a class or callable; found {type(target).__name__}")
        kind = "autograd_function" if inspect.isclass(target) and hasattr(target, "apply") else "forward"
        entry = OpImpl(
            op_name, name, **{kind: target}, capability=capability or Capability(), modes=tuple(modes),
            default_mode=default_mode, preference_rank=preference_rank, tolerances=dict(tolerances or {}),
            notes=notes,
        )  # fmt: skip
        global _version
        with _lock:
            _REGISTRY[op_name, name] = entry
            _version += 1
        return target

    return register


register_op = register_impl


def declare_op_locations(op_name, module_paths) -> None:
    """Modules that register an operation's implementations; they are imported when it is first looked up."""
    with _lock:
        known = _DISCOVERY_MAP.get(op_name, ())
        _DISCOVERY_MAP[op_name] = (*known, *(path for path in module_paths if path not in known))
        _DISCOVERED.pop(op_name, None)
        _DISCOVERY_EVENTS.pop(op_name, None)


def get_discovery_failures() -> Dict[str, Tuple[type, str]]:
    """Declared modules that could not be imported, with the error's type and text."""
    with _lock:
        return dict(_DISCOVERY_FAILURES)


def get_registered(op_name, backend) -> Optional[OpImpl]:
    """One implementation; None where there is none of that name."""
    _discover(op_name)
    with _lock:
        return _REGISTRY.get((op_name, backend))


def list_registered(op_name) -> Tuple[OpImpl, ...]:
    """All implementations of an operation, whether they can run here or not."""
    _discover(op_name)
    with _lock:
        return tuple(entry for (name, _), entry in _REGISTRY.items() if name == op_name)


def all_registered_ops() -> Tuple[str, ...]:
    """Names of operations that are registered or declared, sorted."""
    importlib.import_module(_OURS)
    with _lock:
        return tuple(sorted({*_DISCOVERY_MAP, *(name for name, _ in _REGISTRY)}))


class _Discovery(threading.Event):
    """Set when an operation's modules have been imported, by the thread that made it."""

    def __init__(self):
        super().__init__()
        self.importer = threading.get_ident()


def _discover(op_name) -> None:
    """Imports this package's implementations and an operation's declared modules, once; other threads wait."""
    importlib.import_module(_OURS)
    with _lock:
        paths = _DISCOVERY_MAP.get(op_name)
        is_first = bool(paths) and not _DISCOVERED.get(op_name)
        if is_first:
            _DISCOVERED[op_name] = True
            _DISCOVERY_EVENTS[op_name] = _Discovery()
        discovery = _DISCOVERY_EVENTS.get(op_name)
    if is_first:
        try:
            _import_all(op_name, paths)
        finally:
            discovery.set()
    elif discovery is not None and discovery.importer != threading.get_ident():
        # A module that looks up its own operation while it is imported does not wait for itself.
        discovery.wait()


def _import_all(op_name, paths) -> None:
    failed = 0
    for path in paths:
        try:
            importlib.import_module(path)
        except Exception as error:
            # An implementation whose compiler is not installed is no fault of the others.
            failed += 1
            with _lock:
                _DISCOVERY_FAILURES[path] = (type(error), str(error))
            logger.debug("%s: %s cannot be imported: %s", op_name, path, error)
    with _lock:
        registered = any(name == op_name for name, _ in _REGISTRY)
    if failed == 0 and not registered:
        logger.warning("%s: all declared paths imported (%s), and no @register_op ran", op_name, ", ".join(paths))
