"""`apply_liger_kernel_to_*`: puts the kernels into models of transformers.

Without a model, the classes of the family's modeling file are replaced, so that models made afterwards are built from
kernels. With `model=`, its modules are re-bound in place, weights and all. Which kernel goes where is in `families`;
the loss forward is in `model.lce`. Each function returns a `Receipt` read from what is bound afterwards and logs it;
`strict=True` raises where something asked for runs on no kernel.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import types

from typing import Callable
from typing import Dict
from typing import Optional

import torch
import torch.nn as nn

from liger_kernel.transformers import functional
from liger_kernel.transformers import leaves
from liger_kernel.transformers.families import BY_MODEL_TYPE
from liger_kernel.transformers.families import BY_NAME
from liger_kernel.transformers.families import FAMILIES
from liger_kernel.transformers.families import Family
from liger_kernel.transformers.leaves import _bind_method_to_module  # noqa: F401  (other packages import these here)
from liger_kernel.transformers.leaves import _patch_geglu_module  # noqa: F401
from liger_kernel.transformers.leaves import _patch_layer_norm_module  # noqa: F401
from liger_kernel.transformers.leaves import _patch_rms_norm_module  # noqa: F401
from liger_kernel.transformers.leaves import _patch_swiglu_module  # noqa: F401
from liger_kernel.transformers.model import lce
from liger_kernel.transformers.model.unwrapping import unwrapped
from liger_kernel.transformers.receipt import OFF
from liger_kernel.transformers.receipt import Entry
from liger_kernel.transformers.receipt import PatchError  # noqa: F401
from liger_kernel.transformers.receipt import Receipt
from liger_kernel.transformers.receipt import require

logger = logging.getLogger(__name__)

FLCE = "fused_linear_cross_entropy"
MLP_SWITCHES = ("swiglu", "geglu")
HEADS = frozenset(name for row in FAMILIES for name in row.heads)


def patch(row: Family, flags: dict, model=None, strict: bool = False, more: Optional[dict] = None) -> Receipt:
    """Applies one family's kernels; `more` are switches for the towers of a composite model."""
    check_flags(row, flags)
    if model is not None:
        model = unwrapped(model, row.heads)
        check_instance(row, model)
    rows = [(row, flags), *towers(row, flags, model, more or {})]
    notes = []
    for tower, switches in rows:
        modeling = modeling_module(tower.directory)
        patch_functions(tower, switches, modeling, notes)
        patch_classes(tower, switches, modeling, notes)
        patch_layer_norm_classes(tower, switches, notes, instance=model is not None)
    if flags.get("cross_entropy"):
        patch_cross_entropy()
    if model is None:
        if flags.get(FLCE):
            patch_class_forwards(row)
        receipt = Receipt(row.name, "classes", notes + read_loss_classes(row, flags))
    else:
        reasons = patch_modules(model, rows)
        if flags.get(FLCE):
            reasons.update(bind_loss_forward(row, model))
        model.__dict__["_liger_reasons"] = reasons
        receipt = read(model, rows, reasons)
    logger.info("%s", receipt)
    if strict:
        require(receipt, flags)
    return receipt


def check_flags(row: Family, flags: dict) -> None:
    assert not (flags.get("cross_entropy") and flags.get(FLCE)), (
        "cross_entropy and fused_linear_cross_entropy cannot both be True: the second takes the loss without the "
        "logits that the first would be given"
    )
    for name, message in row.refused.items():
        if flags.get(name):
            raise NotImplementedError(message.format(name=row.name))
    for name, message in row.inert.items():
        if flags.get(name):
            logger.warning("%s=True has no effect: %s", name, message.format(name=row.name))


def check_instance(row: Family, model) -> None:
    if row.refusal and not any(cls.__name__ in row.instances for cls in type(model).__mro__):
        raise row.refusal(
            f"apply_liger_kernel_to_{row.name} takes a model of {', '.join(row.instances)}, not {type(model).__name__}"
        )


def towers(row: Family, flags: dict, model, more: dict):
    """The families of a composite model's parts, each with the switches it gets."""
    for name in row.towers:
        yield BY_NAME[name], {**dict.fromkeys(BY_NAME[name].flags, False), **common(flags, BY_NAME[name])}
    if model is None:
        return
    for attribute in row.tower_configs:
        model_type = getattr(getattr(model.config, attribute, None), "model_type", None)
        tower = BY_MODEL_TYPE.get(model_type)
        if tower is None:
            logger.warning("%s: there are no kernels for its %s (%s)", row.name, attribute, model_type)
            continue
        unknown = sorted(set(more) - set(tower.flags))
        if unknown:
            logger.warning("%s: its %s (%s) has no switches %s", row.name, attribute, model_type, ", ".join(unknown))
        losses = {"cross_entropy": False, FLCE: False}
        yield tower, {**tower.flags, **common(more, tower), **common(losses, tower)}


def common(flags: dict, row: Family) -> dict:
    return {name: value for name, value in flags.items() if name in row.flags and name not in ("cross_entropy", FLCE)}


def modeling_module(directory: str):
    """The modeling module as an attribute of its package, which is where a test may have put another."""
    try:
        package = importlib.import_module(f"transformers.models.{directory}")
        return getattr(package, f"modeling_{directory}")
    except (ImportError, AttributeError) as error:
        import transformers

        raise ImportError(
            f"transformers {transformers.__version__} has no model {directory!r}; install a release that has it"
        ) from error


# Classes and functions of a modeling module.


def mlp_switch(row: Family) -> str:
    return "geglu" if "geglu" in row.flags else "swiglu"


def patch_functions(row: Family, flags: dict, modeling, notes: list) -> None:
    for name, kernel_name in row.rope.items():
        replace(row, modeling, name, kernel_name, "rope", flags, notes)


def patch_classes(row: Family, flags: dict, modeling, notes: list) -> None:
    for name, norm in row.norms.items():
        replace(row, modeling, name, norm.kernel, "rms_norm", flags, notes)
    for name, kernel_name in row.mlps.items():
        replace(row, modeling, name, kernel_name, mlp_switch(row), flags, notes)
    for name in row.experts:
        reason = leaves.experts_refusal(getattr(modeling, name, None))
        if reason:
            notes.append(Entry(mlp_switch(row), f"{row.directory}.{name}", None, reason))
        else:
            replace(row, modeling, name, "LigerExperts", mlp_switch(row), flags, notes)
    for name, kernel_name in row.activations.items():
        patch_activation_table(row, modeling, name, kernel_name, flags, notes)


def replace(row: Family, modeling, name: str, kernel_name: str, switch: str, flags: dict, notes: list) -> None:
    target = f"{row.directory}.{name}"
    if not hasattr(modeling, name):
        return
    if not flags.get(switch, False):
        notes.append(Entry(switch, target, None, OFF))
        return
    replacement = leaves.kernel(kernel_name)
    if replacement is None:
        notes.append(Entry(switch, target, None, f"this package has no {kernel_name}"))
        return
    setattr(modeling, name, replacement)
    bound = getattr(modeling, name)
    notes.append(Entry(switch, target, getattr(bound, "__name__", str(bound))))


def patch_activation_table(row, modeling, name, kernel_name, flags, notes):
    target = f"{row.directory}.ACT2FN[{name!r}]"
    replacement = leaves.kernel(kernel_name)
    switch = next(iter(row.flags))
    if not flags.get(switch):
        notes.append(Entry(switch, target, None, OFF))
    elif replacement is None:
        notes.append(Entry(switch, target, None, f"this package has no {kernel_name}"))
    else:
        modeling.ACT2FN[name] = replacement
        notes.append(Entry(switch, target, kernel_name))


def patch_layer_norm_classes(row: Family, flags: dict, notes: list, instance: bool) -> None:
    if instance or "layer_norm" not in flags:
        return
    for directory in row.layer_norms:
        target = f"{directory}.nn.LayerNorm"
        if not flags["layer_norm"]:
            notes.append(Entry("layer_norm", target, None, OFF))
            continue
        modeling = modeling_module(directory)
        replacement = leaves.torch_layer_norm()
        if isinstance(getattr(modeling, "nn", None), types.ModuleType):
            modeling.nn = leaves.overlay(modeling.nn, LayerNorm=replacement)
        if hasattr(modeling, "LayerNorm"):
            modeling.LayerNorm = replacement
        notes.append(Entry("layer_norm", target, "LigerLayerNorm"))


def patch_cross_entropy() -> None:
    """The cross entropy that transformers' losses call becomes the kernel; torch's own is left as it is."""
    loss_utils = importlib.import_module("transformers.loss.loss_utils")
    if isinstance(loss_utils.nn, types.ModuleType) and not has_liger_cross_entropy(loss_utils):
        functions = leaves.overlay(loss_utils.nn.functional, cross_entropy=functional.liger_cross_entropy)
        loss_utils.nn = leaves.overlay(loss_utils.nn, functional=functions)


def has_liger_cross_entropy(loss_utils) -> bool:
    return is_ours(getattr(loss_utils.nn.functional, "cross_entropy", None))


def patch_class_forwards(row: Family) -> None:
    modeling = modeling_module(row.directory)
    for name in row.heads:
        cls = getattr(modeling, name, None)
        if cls is not None:
            forward = loss_forward(row, name)
            if isinstance(cls, type):
                lce.remember(cls, forward)
            cls.forward = forward


def loss_forward(row: Family, class_name: str, cls=None) -> Callable:
    """The loss forward of one class: the one that the model's module exports, or another for a class of its own."""
    module_name, function_name = row.heads[class_name]
    module = importlib.import_module(f"liger_kernel.transformers.model.{module_name}")
    exported = getattr(module, function_name)
    own_name = class_name if cls is None else cls.__name__
    if exported.liger_class == own_name:
        return exported
    return lce.make_lce_forward(module.__name__, own_name, function_name)


# The modules of one model.


def patch_modules(model, rows) -> Dict[str, str]:
    """Re-binds every module that a row names; returns why some were not, by the module's name."""
    reasons = {}
    for name, module in list(model.named_modules()):
        for row, flags in rows:
            leaf = leaf_of(module, row)
            if leaf is None:
                continue
            switch, apply = leaf
            result = apply(module) if flags.get(switch) else OFF
            if isinstance(result, nn.Module):
                # A module without weights is replaced rather than re-bound.
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, result)
            elif result:
                reasons[name] = result
            break
    return reasons


def leaf_of(module, row: Family):
    """`(switch, how to re-bind it)` of a module that this row has a kernel for."""
    name = class_name_of(module)
    if name in row.norms:
        return "rms_norm", lambda m: leaves.patch_norm(m, row.norms[name])
    if name in row.mlps:
        return mlp_switch(row), lambda m: leaves.patch_mlp(m, row.mlps[name])
    if name in row.experts:
        return mlp_switch(row), leaves.patch_experts
    if name == "LayerNorm" and row.layer_norms and isinstance(module, nn.LayerNorm):
        return "layer_norm", leaves.patch_layer_norm
    if name == "ReLUSquaredActivation" and row.activations:
        return next(iter(row.flags)), lambda m: leaves.new_activation(row.activations["relu2"])
    return None


def class_name_of(module) -> str:
    """The class a module was made from, beneath an adapter that keeps a trained copy of it."""
    if leaves._is_saved_module_wrapper(module):
        return type(module.original_module).__name__
    return type(module).__name__


def bind_loss_forward(row: Family, model) -> Dict[str, str]:
    """Gives a model its loss forward; returns why it will not be used, by the name of the root module.

    A model without a head gets one too, as upstream does; it then runs the model's own.
    """
    names = [cls.__name__ for cls in type(model).__mro__ if cls.__name__ in row.heads]
    if not row.heads:
        return {}
    forward = loss_forward(row, names[0] if names else next(iter(row.heads)), type(model))
    lce.remember(type(model), forward)
    model.forward = types.MethodType(forward, model)
    return {} if hasattr(model, lce.HEAD) else {"": f"{type(model).__name__} has no {lce.HEAD}: its forward is its own"}


# Reading what is bound.


def read(model, rows, reasons: Dict[str, str]) -> Receipt:
    row, flags = rows[0]
    entries = []
    for tower, switches in rows:
        entries += read_functions(tower, switches)
    for name, module in model.named_modules():
        entry = read_module(name, module, rows, reasons)
        if entry is not None:
            entries.append(entry)
    entries += read_loss(row, flags, model, reasons)
    return Receipt(row.name, type(model).__name__, entries)


def read_functions(row: Family, flags: dict):
    modeling = modeling_module(row.directory)
    for name, kernel_name in row.rope.items():
        if not hasattr(modeling, name):
            continue
        bound = getattr(modeling, name)
        if is_ours(bound):
            yield Entry("rope", f"{row.directory}.{name}", bound.__name__)
        elif leaves.kernel(kernel_name) is None:
            yield Entry("rope", f"{row.directory}.{name}", None, f"this package has no {kernel_name}")
        else:
            yield Entry("rope", f"{row.directory}.{name}", None, OFF)


def read_module(name: str, module, rows, reasons) -> Optional[Entry]:
    bound = bound_kernel(module)
    if bound:
        return Entry(switch_of(bound), name, bound, kind=type(module).__name__)
    for row, _ in rows:
        leaf = leaf_of(module, row)
        if leaf is not None:
            reason = reasons.get(name, "not patched")
            return Entry(leaf[0], name, None, reason, kind=type(module).__name__)
    return None


def read_loss(row: Family, flags: dict, model, reasons):
    """What takes the loss: the fused forward on the model, or the cross entropy transformers calls."""
    if lce.is_loss_forward(model.forward) and hasattr(model, lce.HEAD):
        head = getattr(model, lce.HEAD)
        apart = lce.heads.resolve(head) is not None
        reason = None if apart else f"its head, {type(head).__name__}, cannot be taken apart: logits are made"
        yield Entry(FLCE, type(model).__name__, "LigerFusedLinearCrossEntropy", reason)
    elif FLCE in row.flags:
        yield Entry(FLCE, type(model).__name__, None, reasons.get("", OFF))
    yield from read_cross_entropy(row, flags)


def read_loss_classes(row: Family, flags: dict) -> list:
    modeling = modeling_module(row.directory)
    entries = []
    for name in row.heads:
        cls = getattr(modeling, name, None)
        if cls is None:
            continue
        bound = lce.is_loss_forward(getattr(cls, "forward", None))
        kernel_name, reason = ("LigerFusedLinearCrossEntropy", None) if bound else (None, OFF)
        entries.append(Entry(FLCE, f"{row.directory}.{name}", kernel_name, reason))
    return entries + list(read_cross_entropy(row, flags))


def read_cross_entropy(row: Family, flags: dict):
    if "cross_entropy" not in row.flags:
        return
    loss_utils = importlib.import_module("transformers.loss.loss_utils")
    if has_liger_cross_entropy(loss_utils):
        yield Entry("cross_entropy", "transformers.loss", "liger_cross_entropy")
    elif flags.get("cross_entropy"):
        yield Entry("cross_entropy", "transformers.loss", None, "transformers.loss was not found as expected")


def bound_kernel(module) -> Optional[str]:
    """The kernel class whose forward this module runs, or None."""
    forward = module.__dict__.get("_old_forward") or getattr(module, "forward", None)
    function = getattr(forward, "__func__", forward)
    if not is_ours(function) or lce.is_loss_forward(function):
        return None
    if is_ours(type(module)):
        return module._get_name()
    return function.__qualname__.split(".")[0]


def is_ours(thing) -> bool:
    return str(getattr(thing, "__module__", "")).startswith("liger_kernel.")


def switch_of(kernel_name: str) -> str:
    for part, switch in (
        ("RMSNorm", "rms_norm"),
        ("LayerNorm", "layer_norm"),
        ("GEGLU", "geglu"),
        ("ReLUSquared", "relu_squared"),
    ):
        if part in kernel_name:
            return switch
    return "swiglu"


def report(model) -> Receipt:
    """Which modules of a model run which kernels, and why others do not. Prints it and returns it."""
    inner = unwrapped(model, HEADS)
    row = BY_MODEL_TYPE.get(getattr(getattr(inner, "config", None), "model_type", None))
    if row is None:
        raise ValueError(
            f"{type(model).__name__} is of no model type this package patches; it knows {', '.join(BY_MODEL_TYPE)}"
        )
    rows = [(row, row.flags), *towers(row, row.flags, inner, {})]
    receipt = read(inner, rows, inner.__dict__.get("_liger_reasons", {"": "not patched"}))
    print(receipt)
    return receipt


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
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = dict(bound.arguments)
        more = values.pop("kwargs", {})
        model, strict = values.pop("model"), values.pop("strict")
        return patch(row, values, model, strict, more)

    kinds = inspect.Parameter
    parameters = [
        kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=value, annotation=bool) for name, value in row.flags.items()
    ]
    parameters.append(kinds("model", kinds.POSITIONAL_OR_KEYWORD, default=None, annotation=Optional[torch.nn.Module]))
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
    return None if function is None else function(**{**known_arguments(function, kwargs), "model": model})


def function_for(model_type: Optional[str]) -> Optional[Callable]:
    if not model_type:
        logger.info("Model type was not provided. No Liger kernels will be applied.")
        return None
    if model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        logger.info("There are currently no Liger kernels supported for model type: %s.", model_type)
        return None
    return MODEL_TYPE_TO_APPLY_LIGER_FN[model_type]


def known_arguments(function: Callable, kwargs: dict) -> dict:
    names = inspect.signature(function).parameters
    return {name: value for name, value in kwargs.items() if name in names}
