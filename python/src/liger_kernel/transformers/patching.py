"""Putting kernels into models of transformers: into the classes of a family's modeling file, or into one model.

Without a model, names of the modeling file are given to classes and functions with kernels, so that models made
afterwards run them. With a model, its modules are bound where they are (`binding`), weights and all, and nothing is
changed for any other model. Which kernel goes where is in `families`, what a kernel asks of a module in `leaves`, the
loss forward in `model.lce`.
"""

from __future__ import annotations

import importlib
import logging
import types

from dataclasses import dataclass
from typing import Callable
from typing import Dict
from typing import Optional

import torch

from liger_kernel.transformers import leaves
from liger_kernel.transformers import reading
from liger_kernel.transformers import transformers_loss
from liger_kernel.transformers.binding import Binding
from liger_kernel.transformers.binding import bind
from liger_kernel.transformers.binding import bound_class
from liger_kernel.transformers.binding import foreign_class_forward
from liger_kernel.transformers.binding import keep_picklable
from liger_kernel.transformers.binding import original_class
from liger_kernel.transformers.families import BY_MODEL_TYPE
from liger_kernel.transformers.families import BY_NAME
from liger_kernel.transformers.family import FLCE
from liger_kernel.transformers.family import Family
from liger_kernel.transformers.model import lce
from liger_kernel.transformers.model.unwrapping import unwrapped
from liger_kernel.transformers.receipt import OFF
from liger_kernel.transformers.receipt import Entry
from liger_kernel.transformers.receipt import Receipt
from liger_kernel.transformers.receipt import require

logger = logging.getLogger("liger_kernel.transformers.monkey_patch")


def patch(row: Family, flags: dict, model=None, strict: bool = False, more: Optional[dict] = None) -> Receipt:
    """Applies one family's kernels; `more` are switches for the towers of a composite model."""
    check_flags(row, flags)
    if model is None:
        receipt = patch_family(row, flags)
    else:
        receipt = patch_model(row, flags, unwrapped(model, row.heads), more or {})
    logger.info("%s", receipt)
    warn_of_earlier(row, flags, receipt)
    if strict:
        require(receipt, flags)
    return receipt


def warn_of_earlier(row: Family, flags: dict, receipt: Receipt) -> None:
    """Warns of kernels that are switched off here and run all the same: nothing takes an earlier patch back."""
    kernels = {entry.switch: entry.kernel for entry in receipt.entries if entry.kernel}
    for switch, kernel_name in kernels.items():
        if flags.get(switch, True):
            continue
        logger.warning(
            "apply_liger_kernel_to_%s: %s is off here, but %s is in place from an earlier patch and stays. Make the "
            "model anew to be without it", row.name, switch, kernel_name,
        )  # fmt: skip


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
    if not issubclass(type(model), torch.nn.Module):
        raise TypeError(
            f"apply_liger_kernel_to_{row.name}: `model` must be a model, a torch.nn.Module, not of type "
            f"{type(model).__name__}; leave it out to patch the classes of the family before a model is made"
        )
    if row.refusal and not (any(cls.__name__ in row.instances for cls in type(model).__mro__) or is_of(row, model)):
        raise row.refusal(
            f"apply_liger_kernel_to_{row.name} takes a model of {', '.join(row.instances)}, not {type(model).__name__}"
        )


def model_type_of(model):
    return getattr(getattr(model, "config", None), "model_type", None)


def has_home(row: Family, model) -> bool:
    """Whether a model's class is from the family's modeling file, or derived from one that is."""
    return any(cls.__module__.rpartition(".")[0] == f"transformers.models.{row.directory}" for cls in type(model).__mro__)


def is_of(row: Family, model) -> bool:
    """Whether this is a model of the family that its row does not name: one that classifies, or one without a head."""
    return has_home(row, model) and model_type_of(model) in row.model_types


def check_family(row: Family, model) -> None:
    """Warns of a model of another family, by its model type and by the modeling file that its class is from."""
    model_type = model_type_of(model)
    if not isinstance(model_type, str) or model_type in row.model_types or has_home(row, model):
        return
    own = BY_MODEL_TYPE.get(model_type)
    advice = f"use apply_liger_kernel_to_{own.name}" if own else "there are no kernels for that type"
    logger.warning(
        "apply_liger_kernel_to_%s was given a %s, whose model type is %r: %s. What was patched is in the receipt",
        row.name, type(model).__name__, model_type, advice,
    )  # fmt: skip


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
        # What is switched off is so in all parts.
        off = {name: value for name, value in flags.items() if not value}
        chosen = tower.flags | common(off, tower) | common(more, tower)
        yield tower, chosen | {name: False for name in ("cross_entropy", FLCE) if name in tower.flags}


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


def patch_family(row: Family, flags: dict) -> Receipt:
    notes = []
    for part, switches in [(row, flags), *towers(row, flags, None, {})]:
        modeling = modeling_module(part.directory)
        patch_functions(part, switches, modeling, notes)
        patch_classes(part, switches, modeling, notes)
        patch_layer_norm_classes(part, switches, notes)
    if flags.get("cross_entropy"):
        transformers_loss.patch_all()
    if flags.get(FLCE):
        patch_class_forwards(row)
    return Receipt(row.name, "classes", notes + reading.read_loss_classes(row, modeling_module(row.directory)))


def patch_functions(row: Family, flags: dict, modeling, notes: list) -> None:
    for name, kernel_name in row.rope.items():
        if not hasattr(modeling, name):
            continue
        if flags.get("rope"):
            setattr(modeling, name, leaves.with_original(leaves.kernel(kernel_name), getattr(modeling, name)))
        note(notes, "rope", f"{row.directory}.{name}", flags, kernel_name)


def patch_classes(row: Family, flags: dict, modeling, notes: list) -> None:
    for name in (*row.norms, *row.mlps, *row.experts):
        if hasattr(modeling, name):
            switch, leaf = leaves.leaf_named(row, name)
            replacement, reason = replacement_of(getattr(modeling, name), leaf)
            if flags.get(switch) and not reason:
                setattr(modeling, name, replacement)
            note(notes, switch, f"{row.directory}.{name}", flags, leaf.name, reason)
    for name, kernel_name in row.activations.items():
        switch, leaf = leaves.leaf_named(row, "ReLUSquaredActivation")
        if flags.get(switch):
            table = modeling.ACT2FN
            modeling.ACT2FN[name], _ = replacement_of(dict.get(table, name) if isinstance(table, dict) else None, leaf)
        note(notes, switch, f"{row.directory}.ACT2FN[{name!r}]", flags, leaf.name)


def replacement_of(cls, leaf: leaves.Leaf):
    """The class with a kernel that takes the place of a class, or why none does."""
    if not isinstance(cls, type):
        # A test put something else there.
        return leaf.kernel, None
    original = original_class(cls)
    reason = leaves.experts_refusal(original) if isinstance(leaf, leaves.ExpertsLeaf) else None
    reason = reason or foreign_class_forward(original)
    if reason:
        return None, reason
    keep_picklable(original)
    return bound_class(original, leaf), None


def note(notes: list, switch: str, target: str, flags: dict, kernel_name: str, reason: Optional[str] = None) -> None:
    if not flags.get(switch):
        notes.append(Entry(switch, target, None, OFF))
    else:
        notes.append(Entry(switch, target, None if reason else kernel_name, reason))


def patch_layer_norm_classes(row: Family, flags: dict, notes: list) -> None:
    for directory in row.layer_norms if "layer_norm" in flags else ():
        switch, leaf = leaves.leaf_named(row, "LayerNorm")
        if flags[switch]:
            modeling = modeling_module(directory)
            replacement = bound_class(leaves.nn.LayerNorm, leaf)
            if isinstance(getattr(modeling, "nn", None), types.ModuleType):
                modeling.nn = transformers_loss.overlay(modeling.nn, LayerNorm=replacement)
            if hasattr(modeling, "LayerNorm"):
                modeling.LayerNorm = replacement
        note(notes, switch, f"{directory}.nn.LayerNorm", flags, leaf.name)


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


def patch_model(row: Family, flags: dict, model, more: dict) -> Receipt:
    check_instance(row, model)
    check_family(row, model)
    modeling_module(row.directory)
    rows = [(row, flags), *towers(row, flags, model, more)]
    reasons = patch_modules(model, rows)
    if flags.get(FLCE):
        reasons.update(bind_loss_forward(row, model))
    if flags.get("cross_entropy") or flags.get(FLCE):
        for module in model.modules():
            if takes_loss(module) if module is model else hasattr(module, lce.HEAD) and takes_loss(type(module)):
                transformers_loss.bind(module, bool(flags.get("cross_entropy")))
    model.__dict__["_liger_reasons"] = reasons
    return reading.read(model, rows, reasons)


def takes_loss(module) -> bool:
    return hasattr(module, "loss_function")


def patch_modules(model, rows) -> Dict[str, str]:
    """Binds every module that a row has a kernel for; returns why some were not, by the module's name."""
    reasons = {}
    for name, module in model.named_modules():
        for row, flags in rows:
            if leaf := leaves.leaf_of(module, row):
                switch, binding = leaf
                reason = bind(module, binding) if flags.get(switch) else OFF
                if reason:
                    reasons[name] = reason
                break
    return reasons


@dataclass(frozen=True)
class LossForward(Binding):
    """A whole model, which takes its loss without logits: by the row of its family and its class among the heads."""

    family: str
    head: str

    makes_bound = False
    name = "LigerFusedLinearCrossEntropy"

    def methods(self, original: type) -> dict:
        forward = loss_forward(BY_NAME[self.family], self.head, original)
        lce.remember(original, forward)
        return {"forward": forward}


def bind_loss_forward(row: Family, model) -> Dict[str, str]:
    """Gives a model its loss forward; returns why it will not be used, by the name of the root module.

    A model without a head gets one too, as upstream does; it then runs the model's own.
    """
    names = [cls.__name__ for cls in type(model).__mro__ if cls.__name__ in row.heads]
    if not row.heads:
        return {}
    reason = bind(model, LossForward(row.name, names[0] if names else next(iter(row.heads))))
    if reason is None and not hasattr(model, lce.HEAD):
        reason = f"{type(model).__name__} has no {lce.HEAD}: its forward is its own"
    return {"": reason} if reason else {}
