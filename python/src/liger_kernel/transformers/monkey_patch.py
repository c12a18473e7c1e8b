"""`apply_liger_kernel_to_*`: puts the kernels into models of transformers, by one function for each row of `families`.

Each returns a `Receipt` read from what is bound afterwards and logs it; `strict=True` raises where something asked for
runs on no kernel. What they do is in `patching`, what they read back in `reading`.
"""

from __future__ import annotations

import importlib
import inspect
import logging

from typing import Callable
from typing import Dict
from typing import Optional

import torch
import transformers

from packaging.version import Version

from liger_kernel import _versions
from liger_kernel.transformers import leaves
from liger_kernel.transformers.families import BY_NAME
from liger_kernel.transformers.families import FAMILIES
from liger_kernel.transformers.families import HEADS
from liger_kernel.transformers.family import Family
from liger_kernel.transformers.leaves import _bind_method_to_module  # noqa: F401  (other packages import these here)
from liger_kernel.transformers.leaves import _patch_geglu_module  # noqa: F401
from liger_kernel.transformers.leaves import _patch_layer_norm_module  # noqa: F401
from liger_kernel.transformers.leaves import _patch_rms_norm_module  # noqa: F401
from liger_kernel.transformers.leaves import _patch_swiglu_module  # noqa: F401
from liger_kernel.transformers.model.unwrapping import unwrapped
from liger_kernel.transformers.patching import patch
from liger_kernel.transformers.receipt import PatchError  # noqa: F401
from liger_kernel.transformers.receipt import Receipt
from liger_kernel.utils import PEFT_AVAILABLE  # noqa: F401

logger = logging.getLogger(__name__)

_versions.require("transformers", transformers.__version__)

MIN_SUPPORTED_TRANSFORMERS_VERSION = Version(_versions.OLDEST["transformers"])
IS_TRANSFORMERS_V5_OR_LATER = Version(transformers.__version__) >= Version("5.0.0")

# The public functions, one per row.


def __getattr__(name: str):
    """The kernels and loss forwards, which upstream's module of this name imports (`llama_lce_forward`)."""
    model, separator, _ = name.partition("_lce_forward")
    if separator and model in BY_NAME:
        return getattr(importlib.import_module(f"liger_kernel.transformers.model.{model}"), "lce_forward")
    found = leaves.kernel(name) if name.lower().startswith("liger") else None
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def make_apply_function(row: Family) -> Callable:
    def apply(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{apply.__name__}: {error}. Its switches are {', '.join(row.flags)}") from None
        bound.apply_defaults()
        values = dict(bound.arguments)
        more = values.pop("kwargs", {})
        check_switches(apply.__name__, {name: value for name, value in values.items() if name != "model"} | more)
        model, strict = values.pop("model"), values.pop("strict")
        return patch(row, values, model, strict, more)

    kinds = inspect.Parameter
    switches = {
        name: kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=value, annotation=bool)
        for name, value in row.flags.items()
    }
    last = [switches.pop(name) for name in row.after_model]
    model = kinds("model", kinds.POSITIONAL_OR_KEYWORD, default=None, annotation=Optional[torch.nn.Module])
    parameters = [*switches.values(), model, *last]
    parameters.append(kinds("strict", kinds.KEYWORD_ONLY, default=False, annotation=bool))
    if row.takes_more:
        parameters.append(kinds("kwargs", kinds.VAR_KEYWORD))
    signature = inspect.Signature(parameters, return_annotation=Receipt)
    apply.__signature__ = signature
    apply.__name__ = apply.__qualname__ = f"apply_liger_kernel_to_{row.name}"
    apply.__doc__ = (
        f"Puts the kernels into {row.name} models: into the classes, or into `model` where one is given.\n\n"
        f"Each switch turns one kernel on; `strict=True` raises `PatchError` where one that is on found nothing.\n"
        f"Returns a `Receipt`. Raises AssertionError when both cross entropies are asked for."
    )
    return apply


def check_switches(function: str, switches: dict) -> None:
    """Raises TypeError for a switch that is on only because it is an object: a model or its configuration, a text."""
    for name, value in switches.items():
        if isinstance(value, torch.nn.Module):
            raise TypeError(
                f"{function}: the switch {name} is a {type(value).__name__}; give a model by its name, "
                f"{function}(model=model). Without it the classes of the family are patched"
            )
        if not isinstance(value, (bool, int, type(None))) and type(value).__name__ not in ("bool", "bool_"):
            found = f"the text {value!r}" if isinstance(value, str) else f"a {type(value).__name__}"
            raise TypeError(f"{function}: the switch {name} must be True or False; found {found}")


# Of any family: a trainer's configuration has one set of switches for all models.
ALL_SWITCHES = frozenset({name for row in FAMILIES for name in row.flags} | {"strict"})

MODEL_TYPE_TO_APPLY_LIGER_FN: Dict[str, Callable] = {}

for _row in FAMILIES:
    _function = make_apply_function(_row)
    globals()[_function.__name__] = _function
    for _model_type in _row.model_types:
        MODEL_TYPE_TO_APPLY_LIGER_FN[_model_type] = _function
del _row, _function, _model_type


def _apply_liger_kernel(model_type: str, **kwargs) -> Optional[Receipt]:
    """Patches the classes of a model type with those of `kwargs` that its function knows; others are left out."""
    function = function_for(model_type)
    return None if function is None else function(**known_arguments(function, kwargs))


def _apply_liger_kernel_to_instance(model, **kwargs) -> Optional[Receipt]:
    """Patches one model, by the model type of its configuration."""
    model = unwrapped(model, HEADS)
    function = function_for(getattr(model, "config", None) and getattr(model.config, "model_type", None))
    if function is not None and (unknown := sorted(set(kwargs) - ALL_SWITCHES)):
        own = [name for name in inspect.signature(function).parameters if name in ALL_SWITCHES]
        logger.warning("%s: no model has switches of these names; those of %s are %s", ", ".join(unknown),
                       type(model).__name__, ", ".join(own))  # fmt: skip
    return None if function is None else function(**{**known_arguments(function, kwargs), "model": model})


def function_for(model_type: Optional[str]) -> Optional[Callable]:
    if not model_type:
        logger.warning("Nothing was patched with Liger kernels: the model's configuration has no model_type")
        return None
    if model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        logger.warning(
            "Nothing was patched with Liger kernels: there are none for the model type %r. liger_kernel.report(model) "
            "names the types that there are kernels for",
            model_type,
        )
        return None
    return MODEL_TYPE_TO_APPLY_LIGER_FN[model_type]


def known_arguments(function: Callable, kwargs: dict) -> dict:
    """Those that a function takes; one of a composite model takes the switches of its towers, which any may have."""
    parameters = inspect.signature(function).parameters
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {
        name: value for name, value in kwargs.items() if name in parameters or (takes_more and name in ALL_SWITCHES)
    }
