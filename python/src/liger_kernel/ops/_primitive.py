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


class _Refusal(torch.autograd.Function):
    """Gives a gradient on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx, gradient):
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError(
            "a gradient of a liger_kernel operation cannot be differentiated again: the kernels have first "
            "derivatives only. Switch the kernel off where second ones are needed"
        )


def first_order(backward):
    """Wraps a Function's backward, whose kernels autograd cannot look into: what it gives refuses a second
    derivative, where torch would take it for a constant."""

    @functools.wraps(backward)
    def wrapper(ctx, *upstream):
        if is_compiling() or not torch.is_grad_enabled():
            return backward(ctx, *upstream)
        with torch.no_grad():
            gradients = backward(ctx, *upstream)
        single = isinstance(gradients, torch.Tensor)
        refusing = tuple(
            _Refusal.apply(g.detach().requires_grad_()) if isinstance(g, torch.Tensor) else g
            for g in ((gradients,) if single else gradients)
        )
        return refusing[0] if single else refusing

    return wrapper
