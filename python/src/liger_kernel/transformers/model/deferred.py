"""What stands for a head's product while a model's own forward works with its logits; see `product`.

Operations that keep to the formula there are written down, and `F.cross_entropy` of their result is the fused loss. Any
other operation is called with the logits, which are made for it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from liger_kernel.ops._primitive import Function
from liger_kernel.transformers.model.product import Product
from liger_kernel.transformers.model.product import modes

# Types in which logits may be asked for and still be those of the fused loss.
FLOATS = (torch.float32, torch.bfloat16, torch.float16)


class Deferred:
    """What stands for a product while a model's own forward works with its logits."""

    product: Product

    head = property(lambda self: self.product.head)
    hidden = property(lambda self: self.product.hidden)
    made = property(lambda self: self.product.made)

    def make(self) -> torch.Tensor:
        return self.product.make()

    def form(self):
        return self.product.form()


def made(value, make=Product.make):
    """A value with the deferred logits in it, at any depth of lists, tuples and dictionaries, made."""
    if isinstance(value, Deferred):
        return make(value.product)
    if isinstance(value, (list, tuple)):
        items = [made(item, make) for item in value]
        if all(item is old for item, old in zip(items, value)):
            return value
        return value._make(items) if hasattr(value, "_make") else type(value)(items)
    if isinstance(value, dict):
        return {name: made(item, make) for name, item in value.items()}
    return value


# Operations that are written down. Each takes the deferred logits, the function that was called and its other
# arguments, and returns what is deferred in its place, or NotImplemented where the logits are needed.


def derive(deferred: Deferred, function, arguments, **changes):
    product = deferred.product

    def replay(logits):
        return function(logits, *arguments)

    if product.is_settled() or product.modes != modes(product.hidden):
        return replay(product.make())
    return type(deferred).of(product.then(replay, **changes))


def scale(step):
    def write_down(deferred, function, *arguments, **options):
        if options or len(arguments) != 1 or not is_number(arguments[0]):
            return NotImplemented
        return derive(deferred, function, arguments, step=(step, arguments[0]))

    return write_down


multiply, divide = scale("mul"), scale("div")


def bound(deferred, function, *arguments, **options):
    if options or arguments:
        return NotImplemented
    return derive(deferred, function, arguments, step=("tanh", None))


def convert(deferred, function, *arguments, **options):
    if not arguments and list(options) == ["dtype"]:
        arguments, options = (options["dtype"],), {}
    if options or len(arguments) != 1:
        return NotImplemented
    (target,) = arguments
    if isinstance(target, torch.dtype):
        return derive(deferred, function, arguments, dtype=target) if target in FLOATS else NotImplemented
    same = isinstance(target, (str, torch.device)) and torch.device(target) == deferred.product.hidden.device
    return derive(deferred, function, arguments) if same else NotImplemented


def to_float(deferred, function, *arguments, **options):
    return NotImplemented if arguments or options else derive(deferred, function, (), dtype=torch.float32)


def keep(deferred, function, *arguments, **options):
    return NotImplemented if arguments or options else derive(deferred, function, ())


def reshape(deferred, function, *shape, **options):
    product = deferred.product
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if options or not sizes or not all(type(size) is int for size in sizes) or sizes[-1] != product.vocabulary:
        return NotImplemented
    rows = product.hidden.reshape(*sizes[:-1], product.hidden.shape[-1])
    return derive(deferred, function, shape, hidden=rows)


def select(deferred, function, index):
    product = deferred.product
    if not selects_rows(index, product.hidden.dim()):
        return NotImplemented
    return derive(deferred, function, (index,), hidden=product.hidden[index])


def cross_entropy(
    deferred,
    function,
    target=None,
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
):
    """`F.cross_entropy` of deferred logits; per-token losses and targets of probabilities are left to torch."""
    product = deferred.product
    rows = product.form() is not None and product.hidden.dim() == 2 and product.fuse is not None
    if not rows or size_average is not None or reduce is not None or reduction not in ("mean", "sum"):
        return NotImplemented
    if isinstance(target, Deferred) or target.dim() != 1 or target.dtype != torch.int64:
        return NotImplemented
    return product.fuse(
        product,
        target,
        ce_weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def selects_rows(index, rank):
    """Whether indexing a tensor of this rank leaves its last dimension whole and last."""
    items = index if isinstance(index, tuple) else (index,)
    used = 0
    for position, item in enumerate(items):
        if item is Ellipsis:
            rest = items[position + 1 :]
            if any(other is Ellipsis or isinstance(other, torch.Tensor) or other is None for other in rest):
                return False
            return len(rest) == 0 or is_whole(rest[-1])
        if item is None:
            continue
        if isinstance(item, torch.Tensor):
            if item.dtype not in (torch.bool, torch.int64):
                return False
            used += item.dim() if item.dtype == torch.bool else 1
        elif type(item) in (int, slice):
            used += 1
        else:
            return False
    return used < rank or (used == rank and is_whole(items[-1]))


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(item):
    return isinstance(item, slice) and item == slice(None)


# The deferred logits that forwards meet, and those that torch.compile meets.


class Origin(Function):
    """Ties deferred logits to what autograd follows them back to, for those who pass by `__torch_function__`: the
    autograd Functions of others, and what is written in C++."""

    @staticmethod
    def forward(ctx, product, *origins):
        ctx.product = product
        return without_memory(product)

    @staticmethod
    def backward(ctx, gradient):
        return None, *ctx.product.gradients(gradient)


class DeferredLogits(Deferred, torch.Tensor):
    """A tensor without memory. Every function of torch that is given one comes to `__torch_function__`, alone or in a
    list, and what goes past it, beneath autograd, to `__torch_dispatch__`."""

    def __new__(cls, head, hidden, vocabulary, fuse):
        return cls.of(Product(head, hidden, vocabulary, fuse, tuple(head.parameters())))

    def __init__(self, *_, **__):
        pass

    @classmethod
    def of(cls, product: Product) -> DeferredLogits:
        result = Origin.apply(product, *product.origins) if product.origins else without_memory(product)
        result.product = product
        return result

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in QUESTIONS:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        write_down = WRITTEN_DOWN.get(function)
        if write_down is not None:
            first, *others = args or (kwargs.get("input"),)
            if isinstance(first, Deferred):
                options = kwargs if args else {name: value for name, value in kwargs.items() if name != "input"}
                result = write_down(first, function, *others, **options)
                if result is not NotImplemented:
                    return result
        return function(*made(args), **made(kwargs))

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return function(*made(args, Product.values), **made(kwargs or {}, Product.values))


def without_memory(product: Product) -> DeferredLogits:
    return torch.Tensor._make_wrapper_subclass(
        DeferredLogits, product.shape, dtype=product.dtype, device=product.hidden.device
    )


# What is known of logits that are not made; their strides are not.
QUESTIONS = frozenset(
    {getattr(torch.Tensor, name) for name in "size dim ndimension numel nelement __len__ __hash__".split()}
    | {getattr(torch.Tensor, name) for name in "is_floating_point is_complex get_device element_size".split()}
    | {getattr(torch.Tensor, name).__get__ for name in "shape ndim dtype device layout requires_grad".split()}
    | {getattr(torch.Tensor, name).__get__ for name in "is_cpu is_cuda is_meta is_sparse is_nested".split()}
    | {torch.numel, torch.is_floating_point, torch.is_complex}
)
WRITTEN_DOWN = {
    **{getattr(torch.Tensor, name): multiply for name in "mul multiply __mul__ __rmul__".split()},
    **{getattr(torch.Tensor, name): divide for name in "div divide true_divide __truediv__".split()},
    **dict.fromkeys((torch.mul, torch.multiply), multiply),
    **dict.fromkeys((torch.div, torch.divide, torch.true_divide), divide),
    **dict.fromkeys((torch.tanh, torch.Tensor.tanh), bound),
    **dict.fromkeys((torch.Tensor.view, torch.Tensor.reshape, torch.reshape), reshape),
    torch.Tensor.to: convert,
    torch.Tensor.float: to_float,
    torch.Tensor.contiguous: keep,
    torch.Tensor.__getitem__: select,
    F.cross_entropy: cross_entropy,
}
