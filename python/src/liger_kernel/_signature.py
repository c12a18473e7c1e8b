"""What every operation takes and gives, as the library declares it; liger.h describes the notation.

Python's functions, torch's schemas and the shapes that torch.compile sees all follow from these.
"""

import contextlib
import functools
import json
import operator

from dataclasses import dataclass

import torch

from liger_kernel import _library

_DTYPES = {
    "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16, "i32": torch.int32, "i64": torch.int64,
    "u8": torch.uint8,
}  # fmt: skip
_SCHEMA_TYPES = {"number": "float", "whole": "SymInt", "wholes": "SymInt[]", "flag": "bool", "word": "str"}


@dataclass(frozen=True)
class Input:
    """An array that goes in."""

    name: str
    is_optional: bool
    is_written: bool

    @property
    def schema(self):
        return f"{'Tensor?' if self.is_optional else 'Tensor'} {self.name}"


@dataclass(frozen=True)
class Option:
    """A setting; one that is not required and has no default may be None."""

    name: str
    kind: str
    words: tuple
    is_required: bool
    default: object

    @property
    def parameter(self):
        """As in the definition of a function."""
        return self.name if self.is_required else f"{self.name}={self.default!r}"

    @property
    def schema(self):
        if self.is_required:
            return f"{_SCHEMA_TYPES[self.kind]} {self.name}"
        mark = "?" if self.default is None else ""
        default = json.dumps(self.default) if isinstance(self.default, str) else repr(self.default)
        return f"{_SCHEMA_TYPES[self.kind]}{mark} {self.name}={default}"


@dataclass(frozen=True)
class Output:
    """An array that comes out; shape, dtype and conditions as the library writes them."""

    name: str
    shape: tuple
    dtype: object
    when: tuple

    def is_there(self, values):
        """Whether it comes out of inputs and options like these, by name."""
        return all(_holds(condition, values) for condition in self.when)

    def is_never_there(self, options):
        """Whether it is left out whatever these options leave."""
        return any(condition.get("on") in options and not _holds(condition, options) for condition in self.when)

    def sizes(self, values):
        """Its shape, for inputs and options by name; symbolic where theirs are."""
        sizes = []
        for part in self.shape:
            if all(_holds(condition, values) for condition in part.get("when", ())):
                sizes += _sizes(part, values)
        return tuple(sizes)

    def type(self, values):
        """Its dtype; for one that is not there, some dtype."""
        if isinstance(self.dtype, str):
            return _DTYPES[self.dtype]
        given = [values[name].dtype for name in self.dtype if values[name] is not None]
        return given[0] if given else torch.float32


@dataclass(frozen=True)
class Signature:
    """Inputs, options and outputs of an operation, in the order in which functions have them."""

    name: str
    inputs: tuple
    options: tuple
    outputs: tuple

    @property
    def schema(self):
        """In torch's notation; an output that is not there is an empty tensor."""
        results = ", ".join("Tensor" for _ in self.outputs)
        results = results if len(self.outputs) == 1 else f"({results})"
        return f"({', '.join(each.schema for each in (*self.inputs, *self.options))}) -> {results}"

    def values(self, arguments):
        """Inputs and options by name, of a function's arguments; what is left out at their end has its default."""
        defaults = [option.default for option in self.options]
        given = len(arguments) - len(self.inputs)
        names = [each.name for each in (*self.inputs, *self.options)]
        return dict(zip(names, (*arguments, *defaults[max(given, 0) :]), strict=True))


@functools.cache
def signature(name):
    """The signature of an operation.

    Raises NotImplementedError for a name that the library does not have, ImportError for a library of another version.
    """
    text = declared().get(name)
    if text is None:
        raise NotImplementedError(f"there is no operation {name!r} in this library")
    with _reading():
        inputs = [Input(a["name"], a.get("optional", False), a.get("written", False)) for a in text["inputs"]]
        options, outputs = map(_option, text["options"]), map(_output, text["outputs"])
        return Signature(name, tuple(inputs), tuple(options), tuple(outputs))


@functools.cache
def declared():
    """What the library says of all operations, by name. Raises ImportError for a library of another version."""
    text = _library.library().liger_signatures()
    with _reading():
        return {each["name"]: each for each in json.loads(text)}


@contextlib.contextmanager
def _reading():
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _library.LibraryNotFoundError(
            f"liger_kernel's compiled library describes its operations in a way that this package does not read "
            f"({error!r}). They are of two versions: install both from one, with `pip install .` from a checkout"
        ) from error


def _option(text):
    kind, is_required = text["type"], text.get("required", False)
    if kind not in _SCHEMA_TYPES:
        raise ValueError(f"an option of type {kind!r}")
    default = None if is_required else text["default"]
    default = float(default) if kind == "number" and default is not None else default
    return Option(text["name"], kind, tuple(text.get("words", ())), is_required, default)


def _output(text):
    dtype = text["dtype"]
    if isinstance(dtype, str) and dtype not in _DTYPES:
        raise ValueError(f"an output of type {dtype!r}")
    return Output(text["name"], tuple(text["shape"]), dtype, tuple(text.get("when", ())))


def _holds(condition, values):
    if "any" in condition:
        return any(_holds(each, values) for each in condition["any"])
    if "absent" in condition:
        return values[condition["absent"]] is None
    if "given" in condition:
        tensor = values[condition["given"]]
        return tensor is not None and ("dtype" not in condition or tensor.dtype == _DTYPES[condition["dtype"]])
    value = values[condition["on"]]
    if "bits" in condition:
        return value & condition["bits"] == condition["bits"]
    return value == condition["word"] if "word" in condition else bool(value)


def _sizes(part, values):
    """Those of one part of a shape."""
    if "size" in part:
        return [part["size"]]
    if "option" in part:
        return [values[part["option"]]]
    sizes = values[part["input"]].shape[part["from"] : part["to"]]
    if "divisor" in part:
        sizes = [size // part["divisor"] for size in sizes]
    return [functools.reduce(operator.mul, sizes, 1)] if part.get("product") else list(sizes)
