"""Every public name of the Python package as Markdown: signature, what it does, shapes, types and errors."""

import importlib
import inspect
import re

import torch

# Modules in the order of the page, and what a reader looks for there.
MODULES = {
    "liger_kernel": "Receipts, counters, loss memory, recomputation, 8-bit products, and which implementation runs.",
    "liger_kernel.transformers": "Patches for Hugging Face models, and layers for models of your own.",
    "liger_kernel.transformers.functional": "The operations as functions.",
    "liger_kernel.chunked_loss": "Losses of a last layer for post-training, as modules.",
    "liger_kernel.chunked_loss.functional": "The same as functions.",
    "liger_kernel.chunked_loss.fused_linear_preference": "What goes into losses of pairs, and what comes out.",
    "liger_kernel.chunked_loss.fused_linear_unpaired_preference": "The same for losses of single answers, such as KTO.",
    "liger_kernel.chunked_loss.fused_linear_ppo": "The same for GRPO and its relatives.",
    "liger_kernel.chunked_loss.fused_linear_distillation": "The same for distillation.",
    "liger_kernel.transformers.receipt": "What a patch returns.",
    "liger_kernel.optim": "An optimiser that takes little memory.",
    "liger_kernel.float8": "Products of linear layers in 8-bit floats.",
    "liger_kernel.ops": "Autograd Functions, and the forward and backward passes behind them.",
    "liger_kernel.megatron": "Layers for Megatron.",
}
FURTHER = {"liger_kernel": ("fp8", "launch_counts", "recompute", "report", "set_loss_memory")}

# Modules that offer what they define, and nothing that they import.
OF_ITS_OWN = ("fused_linear_preference", "fused_linear_unpaired_preference", "fused_linear_ppo",
              "fused_linear_distillation", "receipt")  # fmt: skip

CONTRACT = """# Python API

What holds for every operation, unless its entry says otherwise:

| what | contract |
|---|---|
| devices | CPU and CUDA; all tensors of a call on one |
| types | fp32, bf16 and fp16; class numbers int64 or int32 |
| arithmetic | fp32, whatever the type; one rounding where a result is stored |
| layout | any; a tensor that is not contiguous is copied once |
| letters | B batch, S or T sequence, N tokens, H or D hidden size, V vocabulary |
| gradients | of tensors that require them, first derivatives only, with their tensor's type |

| error | when |
|---|---|
| `ValueError` | a shape or an option that does not fit, or integers where numbers should be |
| `TypeError` | a type that kernels do not take, such as float64 |
| `IndexError`, an `AssertionError` too | a class number outside the vocabulary; GPUs tell at the next call |
| `NotImplementedError` | a tensor on another device, or one that keeps no values in memory |
| `RuntimeError` | a second derivative |
| `torch.OutOfMemoryError` | memory ran out |
| `ImportError` | the library, or an optional package, is missing |

"""


def names(module):
    listed = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
    found = [*listed, *getattr(module, "_UNLISTED", ()), *FURTHER.get(module.__name__, ())]
    if module.__name__.endswith(OF_ITS_OWN):
        found = [name for name in dir(module) if getattr(getattr(module, name), "__module__", None) == module.__name__]
    prefix = "liger_" if module.__name__.endswith(".functional") else ""
    shown = (name for name in set(found) if name.startswith(prefix) and not name.startswith("_"))
    return sorted(name for name in shown if is_ours(getattr(module, name)))


def is_ours(thing):
    home = owner(thing).__module__ if callable(thing) else None
    return str(home).startswith("liger_kernel")


def owner(thing):
    """The Function whose `apply` a name is; anything else itself."""
    bound = getattr(thing, "__self__", None)
    return bound if isinstance(bound, type) else thing


def doc(thing):
    """A docstring of the thing's own; that of a base only where the base is ours."""
    texts = [kind.__dict__.get("__doc__") for kind in thing.__mro__ if is_ours(kind)] if isinstance(thing, type) else []
    text = next(filter(None, texts), None) if isinstance(thing, type) else thing.__doc__
    return inspect.cleandoc(text) if text else None


def signature(name, thing):
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return f"{name}(...)"
    text = re.sub(r"(typing|torch\.nn\.modules\.module|liger_kernel[\w.]*)\.(?=[A-Z])", "", text)
    text = re.sub(r"<function (\w+)[^>]*>", r"\1", text)
    return f"{name}{text.removesuffix(' -> None')}"


def without_first(name, function):
    """The signature without `self` or `ctx`."""
    return re.sub(r"\((cls, )?(self|ctx)(, )?", "(", signature(name, function), count=1)


def methods(thing):
    """What is called of a class: its forward, and for a Function its `apply`."""
    ours = (kind.__dict__ for kind in thing.__mro__ if is_ours(kind))
    forward = next((names["forward"] for names in ours if "forward" in names), None)
    if forward is None:
        return
    if issubclass(thing, torch.autograd.Function):
        yield without_first("apply", inspect.unwrap(getattr(forward, "__func__", forward))), None
    else:
        yield without_first("forward", forward), doc(forward)


def entry(name, thing):
    """The lines of one name; the second result is what is wrong with it."""
    real = owner(thing)
    text = doc(real)
    is_class = isinstance(real, type)
    shown = [] if is_class and issubclass(real, torch.autograd.Function) else [signature(name, thing)]
    notes = []
    for called, note in methods(real) if is_class else ():
        shown.append(called if real is thing else called.replace("apply", name, 1))
        notes += [note] if note else []
    lines = [f"## {name}", "", "```python", *shown, "```", "", paragraphs(text or ""), "", *map(paragraphs, notes), ""]
    return lines, None if text else f"{name} has no docstring"


def paragraphs(text):
    """A docstring as Markdown: arguments, which a docstring names with a colon, in code."""
    return re.sub(r"^((?:[a-z_]\w*, )*[a-z_]\w*)(?=: )", r"`\1`", text, flags=re.M)


def functions_of_losses():
    """Where the Functions behind losses are described: by the functions that are their `apply`."""
    module = importlib.import_module("liger_kernel.chunked_loss.functional")
    return {owner(getattr(module, name)).__name__: f"{module.__name__}.md#{name}" for name in names(module)}


def build():
    """Markdown by file name, and the faults that were found."""
    files, faults = {"index.md": CONTRACT + "| module | names | what for |\n|---|---:|---|\n"}, []
    for path, purpose in MODULES.items():
        module = importlib.import_module(path)
        lines = [f"# {path}", "", purpose, ""]
        listed = names(module)
        lines += [", ".join(f"[`{name}`](#{name.lower()})" for name in listed), ""]
        for name in listed:
            found, fault = entry(name, getattr(module, name))
            lines += found
            faults += [f"{path}.{fault}"] if fault else []
        files[f"{path}.md"] = "\n".join(lines)
        files["index.md"] += f"| [`{path}`]({path}.md) | {len(listed)} | {purpose} |\n"
    return files, faults
