"""Forward and backward primitives as torch operators, so that torch.compile can trace through them, and the class of
autograd Functions over them.

A primitive is a Python function over tensors. In eager mode it is called as it is: torch's dispatcher costs
more than our launches. While torch.compile traces, the operator `torch.ops.liger_kernel.NAME` stands in for it.
"""

import functools

import torch

from torch._functorch.utils import unwrap_dead_wrappers
from torch.autograd import forward_ad

PLAIN = (torch.Tensor, torch.nn.Parameter)

_namespace = torch.library.Library("liger_kernel", "DEF")
_register_fake = getattr(torch.library, "register_fake", None) or torch.library.impl_abstract
_is_tracing = getattr(torch.compiler, "is_dynamo_compiling", None) or torch._dynamo.external_utils.is_compiling
_transforms_are_active, _records = torch._C._are_functorch_transforms_active, torch.is_grad_enabled
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
            # Outside of torch.compile only tensors of other kinds stand for tensors, as in torch.export.
            if _is_tracing() or (type(arguments[0]) not in PLAIN and is_compiling()):
                return operator(*arguments)
            return run(*arguments)

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

    torch's looks for defaults and for wrappers that outlived a torch.func transform before every call; here such
    wrappers are looked for when a call has failed, as no kernel can run on one. Where autograd is off nothing is
    recorded, and `inference` is called: of tensors whose first is of a plain type.
    """

    def __init_subclass__(cls):
        super().__init_subclass__()
        cls._record = super(torch.autograd.Function, cls).apply

    @classmethod
    def inference(cls, *arguments):
        """The results alone. Here by `forward` with a context in which nothing needs a gradient."""
        return cls.forward(_Untracked(), *arguments)

    @classmethod
    def apply(cls, *arguments):
        if _is_tracing():
            # torch.compile knows what this name means for a Function, and never enters it a second time.
            return cls.apply(*arguments)
        if _transforms_are_active() or forward_ad._current_level >= 0:
            return super().apply(*arguments)
        try:
            if _records() or type(arguments[0]) not in PLAIN:
                return cls._record(*arguments)
            return cls.inference(*arguments)
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
        if not torch.is_grad_enabled() or is_compiling():
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
