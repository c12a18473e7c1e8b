"""Forward and backward primitives as torch operators, so that torch.compile can trace through them.

A primitive is a Python function over tensors. In eager mode it is called as it is: torch's dispatcher costs
more than our launches. While torch.compile traces, the operator `torch.ops.liger_kernel.NAME` stands in for it.
"""

import functools

import torch

_namespace = torch.library.Library("liger_kernel", "DEF")
_register_fake = getattr(torch.library, "register_fake", None) or torch.library.impl_abstract
is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._dynamo.is_compiling


def primitive(schema, fake):
    """Registers a function as an operator.

    schema: the operator's arguments and results in torch's notation, such as "(Tensor x) -> Tensor". fake: makes
    outputs of the right shapes and dtypes without values.
    """

    def register(function):
        name = function.__name__.lstrip("_")
        _namespace.define(name + schema)
        _namespace.impl(name, function, "CompositeExplicitAutograd")
        _register_fake(f"liger_kernel::{name}", fake)
        operator = getattr(torch.ops.liger_kernel, name).default

        @functools.wraps(function)
        def call(*arguments):
            return operator(*arguments) if is_compiling() else function(*arguments)

        call.eager, call.operator = function, operator
        return call

    return register
