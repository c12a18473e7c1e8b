"""Python functions of the library's operations, made from their signatures when they are first called.

`operation` gives what autograd Functions call: in eager mode a function compiled from text that spells out its tensors,
as loops over arguments would double the time of a call and torch's dispatcher costs more than our launches. While
torch.compile traces, the operator `torch.ops.liger_kernel.NAME` stands in for it. Nothing of this is made, and the
library not loaded, on import.
"""

import importlib
import threading
import types

import torch

from liger_kernel import _call
from liger_kernel import _exports
from liger_kernel import _signature

PLAIN = (torch.Tensor, torch.nn.Parameter)

is_tracing = getattr(torch.compiler, "is_dynamo_compiling", None) or torch._dynamo.external_utils.is_compiling
is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._dynamo.is_compiling
_register_fake = getattr(torch.library, "register_fake", None) or torch.library.impl_abstract
# Of the operators, which have one name in a process: another copy of the package has another name.
_NAMESPACE = __package__.replace(".", "_")
_library = torch.library.Library(_NAMESPACE, "DEF")
# By operation: its function, and whether results have their inputs' strides.
_functions = {}
_registered, _lock = set(), threading.RLock()


def operation(name, prepare=None, strided=False, keeps_strides=False):
    """The function of an operation, which torch.compile can trace.

    It takes the operation's inputs, None for one that is left out, and then its options, and gives its outputs, as a
    tuple if there are several: None for what the signature leaves out, and an empty tensor while torch.compile traces.

    prepare, strided: as for `eager`. keeps_strides: whether an output that is like an input has its strides too.
    """
    run = eager(name, prepare, strided)
    operators = getattr(torch.ops, _NAMESPACE)

    def call(*arguments):
        # Outside of torch.compile only tensors of other kinds stand for tensors, as in torch.export.
        if is_tracing() or (type(arguments[0]) not in PLAIN and is_compiling()):
            return getattr(operators, name).default(*arguments)
        return run(*arguments)

    call.__name__, call.eager = name, run
    _functions[name] = run, keeps_strides
    return call


def eager(name, prepare=None, strided=False, **fixed):
    """As `operation`, without a look at whether torch.compile traces: for what is never traced.

    prepare: makes the runner from (name, tensors by name, options by name, output names); None for
    `contiguous_runner`. strided: whether a runner depends on strides, and not only on which inputs are contiguous.
    fixed: options that never change, which the function does not take; outputs that they leave out are none of its.
    """
    names = {"__name__": __name__}
    function = types.FunctionType(_unwritten.__code__, names, name)

    def complete():
        source, helpers = _written(_signature.signature(name), prepare or _call.contiguous_runner, strided, fixed)
        made = _call.define(source, name, **helpers)
        names.update(made.__globals__)
        function.__defaults__, function.__code__ = made.__defaults__, made.__code__
        return function

    names["complete"] = complete
    return function


def _unwritten(*arguments):
    """The code of a function before its first call."""
    return complete()(*arguments)  # noqa: F821


def _written(signature, prepare, strided, fixed):
    """The text of an operation's function, and what it refers to."""
    options = [option for option in signature.options if option.name not in fixed]
    outputs = [output.name for output in signature.outputs if not output.is_never_there(fixed)]
    tensors, values = [each.name for each in signature.inputs], [option.name for option in options]
    settings = [f"tuple({option.name})" if option.kind == "wholes" else option.name for option in options]
    runners = _call.keep()

    def prepared(key, given, settings):
        settings = {name: value for name, value in zip(values, settings) if value is not None} | fixed
        make = prepare(signature.name, dict(zip(tensors, given)), settings, outputs)
        return _call.remember(runners, key, make)

    # All that a runner relies on, so that one that is found needs no check.
    layout = "stride" if strided else "is_contiguous"
    kinds = []
    for each in signature.inputs:
        kind = f"{each.name}.shape, {each.name}.{layout}(), {each.name}.dtype, {each.name}.get_device()"
        kinds.append(f"(None if {each.name} is None else ({kind}))" if each.is_optional else kind)
    source = f"""
def {signature.name}({", ".join([*tensors, *(option.parameter for option in options)])}):
    key = ({", ".join([*kinds, *settings])},)
    run = find(key)
    if run is None:
        run = prepared(key, ({"".join(f"{name}, " for name in tensors)}), ({"".join(f"{name}, " for name in values)}))
    return run({", ".join(tensors)})
"""
    return source, {"find": runners.get, "prepared": prepared}


class _Operators(type(torch.ops.aten)):
    """The namespace `torch.ops.liger_kernel`, which registers an operator when it is first asked for."""

    # In names of operators, by which an exported program finds them.
    __module__ = type(torch.ops.aten).__module__

    def __getattr__(self, name):
        if not name.startswith("_"):
            with _lock:
                _register(name)
        return super().__getattr__(name)


setattr(torch.ops, _NAMESPACE, _Operators(_NAMESPACE))


def _register(name):
    """Registers the operator of an operation, if there is one."""
    if name not in _functions:
        # One that an exported program names.
        for module in ("", *(f".{late}" for late in _exports.LATE_OPS)):
            importlib.import_module(f"{__package__}.ops{module}")
    # torch asks for the name once more while it is registered.
    if name not in _functions or name in _registered:
        return
    signature, (function, keeps_strides) = _signature.signature(name), _functions[name]
    _registered.add(name)

    def run(*arguments):
        results = function(*arguments)
        if len(signature.outputs) == 1:
            return results
        values = signature.values(arguments)
        return tuple(
            arguments[0].new_empty(0, dtype=output.type(values)) if result is None else result
            for output, result in zip(signature.outputs, results)
        )

    def fake(*arguments):
        values = signature.values(arguments)
        results = tuple(_fake(output, arguments[0], values, keeps_strides) for output in signature.outputs)
        return results[0] if len(results) == 1 else results

    _library.define(name + signature.schema)
    _library.impl(name, run, "CompositeExplicitAutograd")
    _register_fake(f"{_NAMESPACE}::{name}")(fake)


def _fake(output, first, values, keeps_strides):
    """An output without values."""
    if not output.is_there(values):
        return first.new_empty(0, dtype=output.type(values))
    if keeps_strides and len(output.shape) == 1:
        return torch.empty_like(values[output.shape[0]["input"]])
    return first.new_empty(output.sizes(values), dtype=output.type(values))
