"""Reading what is bound: the receipt of a model, whoever patched it."""

from __future__ import annotations

import inspect

from dataclasses import replace
from typing import Dict
from typing import Optional

from liger_kernel.transformers import leaves
from liger_kernel.transformers import transformers_loss
from liger_kernel.transformers.binding import binding_of
from liger_kernel.transformers.binding import covering_forward
from liger_kernel.transformers.binding import described
from liger_kernel.transformers.binding import written_class
from liger_kernel.transformers.families import BY_MODEL_TYPE
from liger_kernel.transformers.families import HEADS
from liger_kernel.transformers.family import FLCE
from liger_kernel.transformers.family import Family
from liger_kernel.transformers.model import lce
from liger_kernel.transformers.model.unwrapping import unwrapped
from liger_kernel.transformers.receipt import NOTHING
from liger_kernel.transformers.receipt import OFF
from liger_kernel.transformers.receipt import Entry
from liger_kernel.transformers.receipt import Receipt


def report(model) -> Receipt:
    """Which modules of a model run which kernels, and why others do not. Prints it and returns it."""
    from liger_kernel.transformers.patching import towers

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


def read(model, rows, reasons: Dict[str, str]) -> Receipt:
    row, flags = rows[0]
    found = [read_module(name, module, rows, reasons) for name, module in model.named_modules()]
    entries = [entry for entry in found if entry is not None]
    entries += read_loss(row, flags, model, reasons)
    return Receipt(row.name, type(model).__name__, entries + list(read_nothing(flags, model, entries)))


def read_nothing(flags: dict, model, entries):
    """A line for each switch that is on and that no module belongs to, as where the model is of another family."""
    kind, found = type(model).__name__, {entry.switch for entry in entries}
    if any(entry.switch == FLCE and entry.kernel for entry in entries):
        # The loss is taken there, whatever a family's other switch says by default.
        found.add("cross_entropy")
    for switch in flags:
        if flags[switch] and switch not in found:
            yield Entry(switch, f"{kind}.{switch}", None, NOTHING)


def read_module(name: str, module, rows, reasons) -> Optional[Entry]:
    kind = type(module).__name__
    leaf = next((leaf for row, _ in rows if (leaf := leaves.leaf_of(module, row))), None)
    kernel = kernel_of(module) or (leaf and kernel_in_file(module, leaf[1]))
    if kernel:
        return running(Entry(leaf[0] if leaf else switch_of(kernel), name, kernel, kind=kind), module)
    if leaf is None:
        return None
    return Entry(leaf[0], name, None, reasons.get(name, "not patched"), kind=kind)


def running(entry: Entry, module) -> Entry:
    """What a bound module runs: nothing that is known, where somebody's forward stands before the kernel's."""
    cover = covering_forward(module)
    return entry if cover is None else replace(entry, kernel=None, reason=f"{cover}; {entry.kernel} may not run")


def read_loss(row: Family, flags: dict, model, reasons):
    """What takes the loss: the fused forward on the model, or the cross entropy transformers calls."""
    kind = type(model).__name__
    if lce.is_loss_forward(type(model).forward) and hasattr(model, lce.HEAD):
        head = getattr(model, lce.HEAD)
        apart = lce.heads.resolve(head) is not None
        reason = None if apart else f"its head, {type(head).__name__}, cannot be taken apart: logits are made"
        yield running(Entry(FLCE, kind, "LigerFusedLinearCrossEntropy", reason), model)
    elif FLCE in row.flags:
        yield Entry(FLCE, kind, None, above_loss_forward(type(model)) or reasons.get("", OFF))
    if isinstance(getattr(model, "loss_function", None), transformers_loss.LossWithKernel):
        yield Entry("cross_entropy", f"{kind}.loss_function", "liger_cross_entropy")
    elif "cross_entropy" in row.flags and transformers_loss.has_kernel():
        yield Entry("cross_entropy", "transformers.loss", "liger_cross_entropy")


def above_loss_forward(cls: type) -> Optional[str]:
    """Says whose forward a class has that may or may not call the loss forward beneath it; None where none is."""
    beneath = any(lce.is_loss_forward(base.__dict__.get("forward")) or lce.was_covered(base) for base in cls.__mro__)
    if lce.is_loss_forward(cls.forward) or not beneath:
        return None
    return f"the forward of its class is {described(cls.forward)}; LigerFusedLinearCrossEntropy may not run"


def read_loss_classes(row: Family, modeling) -> list:
    entries = []
    for name in row.heads:
        cls = getattr(modeling, name, None)
        if cls is not None:
            bound = lce.is_loss_forward(getattr(cls, "forward", None))
            kernel, reason = ("LigerFusedLinearCrossEntropy", None) if bound else (None, OFF)
            entries.append(Entry(FLCE, f"{row.directory}.{name}", kernel, reason))
    if "cross_entropy" in row.flags and transformers_loss.has_kernel():
        entries.append(Entry("cross_entropy", "transformers.loss", "liger_cross_entropy"))
    return entries


def kernel_of(module) -> Optional[str]:
    """The kernel that a module runs, or None. Other packages may have bound it, or built the model from our modules."""
    binding = binding_of(module)
    if binding is not None:
        return None if lce.is_loss_forward(type(module).forward) else binding.name
    forward = module.__dict__.get("_old_forward") or getattr(module, "forward", None)
    function = getattr(forward, "__func__", forward)
    if is_ours(function) and not lce.is_loss_forward(function):
        return module._get_name() if is_ours(type(module)) else function.__qualname__.split(".")[0]
    return None


def kernel_in_file(module, leaf) -> Optional[str]:
    """The kernels that an attention's modeling file has in the place of its rotary embeddings, or None.

    A patch of a family's classes puts them there, so models run them that were made before it too.
    """
    if not isinstance(leaf, leaves.RotaryLeaf):
        return None
    home = inspect.unwrap(written_class(type(module)).forward).__globals__
    functions = [home.get(name) for name, _ in leaf.kernels]
    return leaf.name if all(is_ours(function) for function in functions) else None


def is_ours(thing) -> bool:
    return str(getattr(thing, "__module__", "")).startswith("liger_kernel.")


def switch_of(kernel: str) -> str:
    parts = {"RMSNorm": "rms_norm", "LayerNorm": "layer_norm", "GEGLU": "geglu", "ReLUSquared": "relu_squared"}
    return next((switch for part, switch in parts.items() if part in kernel), "swiglu")
