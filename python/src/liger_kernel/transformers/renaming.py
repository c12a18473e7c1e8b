"""Functions that find another function under one of their globals' names.

A modeling file's attention calls its rotary embedding as a global of the file, which all models of the family share.
For one model alone, its attention runs the same code with that global's name changed, in the same file: what else
becomes of the file, or is put into it later, reaches both.
"""

from __future__ import annotations

import dis
import functools
import types

from typing import Callable
from typing import Mapping
from typing import Optional


def uses(function: Callable, home: str, names) -> bool:
    """Whether a function of the module `home`, or what it wraps, reads a global of one of these names."""
    return any(
        inner.__globals__.get("__name__") == home and any(_reads(inner.__code__, name) for name in names)
        for inner in _layers(function)
    )


def renamed(function: Callable, names: Mapping[str, str]) -> Callable:
    """A copy of a function, and of what it wraps, that reads other globals: old name to new."""
    inner = getattr(function, "__wrapped__", None)
    cells = {inner: renamed(inner, names)} if inner is not None else {}
    closure = function.__closure__ and tuple(_cell(cell, cells) for cell in function.__closure__)
    copy = types.FunctionType(
        _renamed_code(function.__code__, names), function.__globals__, function.__name__, function.__defaults__, closure
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(copy, function)
    copy.__dict__.pop("__wrapped__", None)
    if inner is not None:
        copy.__wrapped__ = cells[inner]
    return copy


def _layers(function: Optional[Callable]):
    while isinstance(function, types.FunctionType):
        yield function
        function = getattr(function, "__wrapped__", None)


def _reads(code: types.CodeType, name: str) -> bool:
    """Whether code reads a global of this name, and has no attribute of the same name, which would be renamed too."""
    if name in code.co_names:
        return {step.opname for step in dis.get_instructions(code) if step.argval == name} == {"LOAD_GLOBAL"}
    return any(_reads(inner, name) for inner in _inner(code))


def _inner(code: types.CodeType):
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def _renamed_code(code: types.CodeType, names: Mapping[str, str]) -> types.CodeType:
    constants = tuple(
        _renamed_code(constant, names) if isinstance(constant, types.CodeType) else constant
        for constant in code.co_consts
    )
    return code.replace(co_names=tuple(names.get(name, name) for name in code.co_names), co_consts=constants)


def _cell(cell: types.CellType, replaced: dict) -> types.CellType:
    try:
        value = cell.cell_contents
    except ValueError:
        return cell
    return types.CellType(replaced[value]) if isinstance(value, types.FunctionType) and value in replaced else cell
