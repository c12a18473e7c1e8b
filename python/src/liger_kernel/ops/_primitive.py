"""The class of autograd Functions over the library's operations."""

import functools

import torch

from torch._functorch.utils import unwrap_dead_wrappers
from torch.autograd import forward_ad
from torch.fx import _symbolic_trace as fx

from liger_kernel import _library
from liger_kernel import _versions
from liger_kernel._operation import PLAIN
from liger_kernel._operation import is_compiling
from liger_kernel._operation import is_tracing

# Before torch 2.7 the compiler takes tensors only from an autograd Function's forward pass.
COMPILES_NO_NONE = _versions.is_before("2.7", torch.__version__)

# Earlier releases do not read `apply`, and take options for constants unless they are seen to change.
_READS_APPLY = not _versions.is_before("2.13", torch.__version__)

_transforms_are_active, _records = torch._C._are_functorch_transforms_active, torch.is_grad_enabled


class _Read(torch.autograd.function.FunctionMeta):
    """Of Functions whose `apply` torch.compile reads as other code: it knows those of the one class of classes only."""


class _Untracked:
    """The context of a forward pass that autograd does not record: it keeps nothing, as no gradient is wanted."""

    needs_input_grad = (False,) * 32

    def save_for_backward(self, *tensors):
        pass

    mark_non_differentiable = set_materialize_grads = save_for_backward


class Function(torch.autograd.Function, metaclass=_Read if _READS_APPLY else torch.autograd.function.FunctionMeta):
    """An autograd Function whose `apply` costs less, by what it need not do for ours.

    torch's looks for defaults and for wrappers that outlived a torch.func transform before every call; here such
    wrappers are looked for when a call has failed, as no kernel can run on one. Where autograd is off nothing is
    recorded, and `inference` is called: of tensors whose first is of a plain type.
    """

    def __init_subclass__(cls):
        super().__init_subclass__()
        cls._record = super(torch.autograd.Function, cls).apply
        if _READS_APPLY:
            cls._traced, cls._required, cls._defaults = _for_compiler(cls)

    @classmethod
    def inference(cls, *arguments):
        """The results alone. Here by `forward` with a context in which nothing needs a gradient."""
        return cls.forward(_Untracked(), *arguments)

    @classmethod
    def apply(cls, *arguments):
        if is_tracing():
            if not _READS_APPLY:
                # torch.compile knows what this name means for a Function, and does not enter it again.
                return cls.apply(*arguments)
            # With dynamic=True an option is a number that varies. torch reads it where it is first used, which must not
            # be inside of a Function: a second one could not reach it there.
            if len(arguments) >= cls._required:
                arguments += cls._defaults[len(arguments) - cls._required :]
            return cls._traced.apply(*[float(a) if isinstance(a, float) else a for a in arguments])
        if _transforms_are_active():
            raise RuntimeError(
                f"{cls.__name__}: liger_kernel's operations take plain tensors; found a transform of torch.func (vmap, "
                "grad, jvp or another) around the call. Use torch.autograd.grad and a batch dimension, or switch the "
                "kernel off"
            )
        if fx._is_fx_tracing_flag and type(arguments[0]) in PLAIN and not is_compiling():
            raise RuntimeError(
                f"{cls.__name__}: make_fx records what tensors do through torch's dispatcher, and a kernel's result "
                "would be a constant of the graph. Use torch.export or torch.compile, or switch the kernel off"
            )
        if forward_ad._current_level >= 0:
            return cls._with_tangents(super().apply, arguments)
        try:
            if _records() or type(arguments[0]) not in PLAIN:
                return cls._record(*arguments)
            return cls.inference(*arguments)
        except RuntimeError:
            living = unwrap_dead_wrappers(arguments)
            if all(a is b for a, b in zip(arguments, living)):
                raise
            return super().apply(*living)
        except (AttributeError, IndexError) as error:
            if not _is_ours(error):
                raise
            raise (TypeError if isinstance(error, AttributeError) else ValueError)(
                f"{cls.__name__} cannot work with what it was given ({error}): {_described(arguments)}. "
                f"help({cls.__module__}.{cls.__name__}) says what it takes"
            ) from error

    @classmethod
    def _with_tangents(cls, apply, arguments):
        """The same within a level of forward derivatives, which inputs may have."""
        try:
            return apply(*arguments)
        except NotImplementedError as error:
            if "jvp" not in str(error):
                raise
            raise NotImplementedError(
                f"{cls.__name__}: liger_kernel's operations have no forward derivatives (jvp); found an input with a "
                "tangent. Use torch.autograd.grad, or switch the kernel off"
            ) from error


def _is_ours(error):
    """Whether this package's own code took an argument for what it is not, rather than a formula of the user's."""
    if isinstance(error, _library.CheckFailedError):
        return False
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    home, file = last.tb_frame.f_globals.get("__name__", ""), last.tb_frame.f_code.co_filename
    return home.partition(".")[0] == __package__.partition(".")[0] or file.startswith("<liger_kernel:")


def _described(arguments):
    """Arguments in words, without options."""

    def described(argument):
        if isinstance(argument, torch.Tensor):
            return f"{argument.dtype} of shape {tuple(argument.shape)}"
        return "None" if argument is None else f"an object of type {type(argument).__name__}"

    found = [described(each) for each in arguments if not isinstance(each, (bool, int, float, str, torch.dtype))]
    while found and found[-1] == "None":
        found.pop()
    return ", ".join(found) or "None"


def _for_compiler(function):
    """A Function of the same passes that torch.compile knows as one; how many arguments have no default; the defaults."""
    passes = {name: staticmethod(getattr(function, name)) for name in ("forward", "backward")}
    names = {"__module__": function.__module__, "__qualname__": function.__qualname__}
    known = torch.autograd.function.FunctionMeta(function.__name__, (torch.autograd.Function,), passes | names)
    code, defaults = function.forward.__code__, function.forward.__defaults__ or ()
    # The context is no argument.
    return known, code.co_argcount - 1 - len(defaults), defaults


class _Refusal(torch.autograd.Function):
    """Gives a gradient on, and refuses to be differentiated by what it depends on."""

    @staticmethod
    def forward(ctx, gradient, *sources):
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx, _):
        raise RuntimeError(
            "a gradient of a liger_kernel operation cannot be differentiated again: the kernels have first "
            "derivatives only. Switch the kernel off where second ones are needed"
        )


class _Witness:
    """A context that notes which saved tensors a backward pass takes: hooks of a checkpoint give them once."""

    def __init__(self, ctx):
        self.__dict__.update(_context=ctx, _taken=())

    def __getattr__(self, name):
        value = getattr(self._context, name)
        if name == "saved_tensors":
            self.__dict__["_taken"] = value
        return value

    def __setattr__(self, name, value):
        setattr(self._context, name, value)


def _leaves(node):
    """The leaves of the graph beneath a node."""
    found, seen, waiting = [], set(), [node]
    while waiting:
        for below, _ in waiting.pop().next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                waiting.append(below)
                if hasattr(below, "variable"):
                    found.append(below.variable)
    return found


def _refusing(ctx, upstream, taken, gradients):
    """Gradients that refuse a second derivative by whatever leads to them.

    Autograd runs only what is on the way to the tensors that it is asked for, and calls others unused: so a refusal is
    on the way to upstream gradients, saved tensors and all leaves.
    """
    sources = [t for t in (*upstream, *taken) if isinstance(t, torch.Tensor) and t.requires_grad]
    sources += _leaves(ctx)

    def refusing(gradient):
        return _Refusal.apply(gradient.detach(), *sources) if isinstance(gradient, torch.Tensor) else gradient

    return refusing(gradients) if isinstance(gradients, torch.Tensor) else tuple(map(refusing, gradients))


def _refuse_batches(upstream, error):
    """Says of upstream gradients that vmap has batched what is wrong with them; they have no memory to read."""
    if any(isinstance(g, torch.Tensor) and "Batched" in repr(torch._C._dispatch_keys(g)) for g in upstream):
        raise RuntimeError(
            "a liger_kernel operation's backward pass takes one upstream gradient; found a batch of them (vmap, "
            "is_grads_batched=True or a vectorised Jacobian). Call torch.autograd.grad once for each of them, or switch "
            "the kernel off"
        ) from error


def first_order(backward):
    """Wraps a Function's backward, whose kernels autograd cannot look into: what it gives refuses a second
    derivative, where torch would take it for a constant."""

    @functools.wraps(backward)
    def wrapper(ctx, *upstream):
        if is_compiling():
            return backward(ctx, *upstream)
        if not torch.is_grad_enabled():
            try:
                return backward(ctx, *upstream)
            except RuntimeError as error:
                _refuse_batches(upstream, error)
                raise
        witness = _Witness(ctx)
        with torch.no_grad():
            gradients = wrapper(witness, *upstream)
        return _refusing(ctx, upstream, witness._taken, gradients)

    return wrapper
