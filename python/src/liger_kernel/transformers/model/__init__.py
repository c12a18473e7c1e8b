"""The loss forwards, importable by model name: `liger_kernel.transformers.model.llama.lce_forward`.

There is one implementation, in `lce`. The modules named after models are made here: each holds that model's function
and the helpers that other packages import with it.
"""

from __future__ import annotations

import sys
import types

from liger_kernel.transformers.families import FAMILIES
from liger_kernel.utils import PEFT_AVAILABLE


def forwards_by_module() -> dict:
    """Model module -> its functions and the transformers class each belongs to: the first of those that share it."""
    modules: dict = {}
    for row in FAMILIES:
        for class_name, (module, function) in row.heads.items():
            modules.setdefault(module, {}).setdefault(function, (row.directory, class_name))
        if not row.heads:
            modules.setdefault(row.name, {})
    return modules


FORWARDS = forwards_by_module()


class ModelModule(types.ModuleType):
    """The module of one model. Its functions are made when they are first asked for, which imports the model."""

    def __getattr__(self, name):
        if name in self.__dict__["forwards"]:
            from liger_kernel.transformers.model import lce

            directory, class_name = self.forwards[name]
            function = lce.make_lce_forward(self.__name__, class_name, name)
            cls = lce.find_class(f"transformers.models.{directory}.modeling_{directory}", class_name)
            if cls is not None:
                lce.remember(cls, function)
            self.__dict__[name] = function
            return function
        if name in HELPERS:
            from liger_kernel.transformers.model import lce

            return getattr(lce, name, None) or getattr(lce.loss_utils, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self):
        return sorted({*super().__dir__(), *self.forwards, *HELPERS})


HELPERS = ("LigerForCausalLMLoss", "unpack_cross_entropy_result", "lce_maybe_trainable_lm_head")

for _name, _forwards in FORWARDS.items():
    _module = ModelModule(f"{__name__}.{_name}", f"The loss forward of {_name}; see `{__name__}.lce`.")
    _module.forwards, _module.PEFT_AVAILABLE = _forwards, PEFT_AVAILABLE
    _module.__package__ = __name__
    sys.modules[_module.__name__] = _module
    globals()[_name] = _module
