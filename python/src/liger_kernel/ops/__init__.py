"""Operations as autograd Functions, with upstream's names and argument orders: `liger_kernel._exports` lists them."""

import importlib

import torch

from liger_kernel import _exports
from liger_kernel import _versions
from liger_kernel.backends.dispatch import check_environment

# Before any operation is imported: an old torch lacks names, and would say so in no sentence.
_versions.require("torch", torch.__version__)
# A name in LIGER_KERNEL_IMPL that nothing has fails here, and not in the middle of a run.
check_environment()

for _module, _names in _exports.OPS.items():
    _loaded = importlib.import_module(f"{__name__}.{_module}")
    globals().update((_name, getattr(_loaded, _name)) for _name in _names)


def __getattr__(name):
    module = _exports.module_of(name, _exports.LATE_OPS)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
