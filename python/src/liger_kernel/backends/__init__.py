"""Implementations of operations by name: see `registry` for adding one, `dispatch` for which one runs."""

from liger_kernel.backends.capability import Capability
from liger_kernel.backends.dispatch import BackendNotAvailableError
from liger_kernel.backends.dispatch import ImplNotAvailableError
from liger_kernel.backends.dispatch import LigerBackendFallbackWarning
from liger_kernel.backends.dispatch import LigerImplFallbackWarning
from liger_kernel.backends.dispatch import NoBackendAvailableError
from liger_kernel.backends.dispatch import NoImplAvailableError
from liger_kernel.backends.dispatch import all_backends
from liger_kernel.backends.dispatch import all_impls
from liger_kernel.backends.dispatch import available_backends
from liger_kernel.backends.dispatch import available_impls
from liger_kernel.backends.dispatch import clear_available_cache
from liger_kernel.backends.dispatch import dispatch
from liger_kernel.backends.dispatch import get_backend
from liger_kernel.backends.dispatch import get_impl
from liger_kernel.backends.dispatch import resolve_backend
from liger_kernel.backends.dispatch import resolve_impl
from liger_kernel.backends.dispatch import set_backend
from liger_kernel.backends.dispatch import set_impl
from liger_kernel.backends.registry import OpImpl
from liger_kernel.backends.registry import register_impl
from liger_kernel.backends.registry import register_op

__all__ = [
    "BackendNotAvailableError", "Capability", "ImplNotAvailableError", "LigerBackendFallbackWarning",
    "LigerImplFallbackWarning", "NoBackendAvailableError", "NoImplAvailableError", "OpImpl", "all_backends",
    "all_impls", "available_backends", "available_impls", "clear_available_cache", "dispatch", "get_backend",
    "get_impl", "register_impl", "register_op", "resolve_backend", "resolve_impl", "set_backend", "set_impl",
]  # fmt: skip
