"""Forward and backward primitives as torch operators, so that torch.compile can trace through them, and the class of
autograd Functions over them.

A primitive is a Python function over tensors. In eager mode it is called as it is: torch's dispatcher costs
more than our launches. While torch.compile traces, the operator `torch.ops.liger_kernel.NAME` stands in for it.
"""

import functools

import torch

from torch._functorch.utils import unwrap_dead_wrappers
from torch.autograd import forward_ad

_namespace = torch.library.Library("liger_kernel", "DEF")
_register_fake = getattr(torch.library, "register_fake", None) or torch.library.impl_abstract
_is_tracing = getattr(torch.compiler, "is_dynamo_compiling", None) or torch._dynamo.external_utils.is_compiling
_transforms_are_active = torch._C._are_functorch_transforms_active
is_compiling = getattr(torch.compiler, "is_compiling", None) or torch._dynamo.is_compiling


def primitive(schema, fake, eager=None):
    """Registers a function as an operator.

    schema: the operator's arguments and results in torch's notation, such as "(Tensor x) -> Tensor". fake: makes
    outputs of the right shapes and dtypes without values. eager: what runs outside of torch.compile, the function
    itself if None; it may give None for an empty tensor.
    """

    def register(function):
        name = function.__name__.lstrip("_")
        _namespace.define(name + schema)
        _namespace.impl(name, function, "CompositeExplicitAutograd")
        _register_fake(f"liger_kernel::{name}", fake)
        operator = getattr(torch.ops.liger_kernel, name).default

        run = eager or function

        @functools.wraps(function)
        def call(*arguments):
            return operator(*arguments) if is_compiling() else run(*arguments)

        call.eager, call.operator = run, operator
        return call

    return register


class _Untracked:
    """The context of a forward pass that autograd does not record: it keeps nothing, as no gradient is wanted."""

    needs_input_grad = (False,) * 32

    def save_for_backward(self, *tensors):
        pass

    mark_non_differentiable = set_materialize_grads = save_for_backward


class Function(torch.autograd.Function):
    """An autograd Function whose `apply` costs less, by what it need not do for ours.

    torch's looks for keyword arguments' defaults and for wrappers that outlived a torch.func transform before every
    call; here such wrappers are looked for when a call has failed, as no kernel can run on one. Where autograd is off,
    `forward` is called as it is, with a context in which nothing needs a gradient.
    """

    def __init_subclass__(cls):
        super().__init_subclass__()
        cls._record = super(torch.autograd.Function, cls).apply

    @classmethod
    def apply(cls, *arguments):
        if is_compiling():
            # torch.compile knows what this name means for a Function, and never enters it a second time.
            if _is_tracing():
                return cls.apply(*arguments)
            return super().apply(*arguments)
        if _transforms_are_active() or forward_ad._current_level >= 0:
            return super().apply(*arguments)
        try:
            return cls._record(*arguments) if torch.is_grad_enabled() else cls.forward(_Untracked(), *arguments)
        except RuntimeError:
            living = unwrap_dead_wrappers(arguments)
            if all(a is b for a, b in zip(arguments, living)):
                raise
            return super().apply(*living)


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
