"""What losses of a linear layer's logits share: whole logits never exist, gradients come with the loss."""

import torch

from liger_kernel._call import call
from liger_kernel._outside import outside_graphs
from liger_kernel.ops._memory import budget
from liger_kernel.ops._memory import sums_exactly
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.cross_entropy import scale_
from liger_kernel.ops.fused_linear_cross_entropy import _to_autocast
from liger_kernel.ops.utils import gathered

_INTEGERS = (torch.int32, torch.int64)
_GRADIENTS = {"input": 1, "weight": 2, "bias": 4}
_SCALES = 8
OUTSIDE = "this loss looks at run time whether gradients are wanted; leave fullgraph=True out, or compile without the loss"


def layer(input, weight, bias, prefix=""):
    """A linear layer's tensors by name, in autocast's type where that is on; none without an input."""
    if input is None:
        return {}
    input, weight, bias = _to_autocast(input, weight, bias)
    return {f"{prefix}input": input, f"{prefix}weight": weight, f"{prefix}bias": bias}


def labels(tensor):
    """Class numbers in a type that kernels read. Others than whole numbers are left as they are, to be refused."""
    is_read = tensor is None or tensor.dtype in _INTEGERS or tensor.is_floating_point()
    return tensor if is_read else tensor.long()


def mask(tensor):
    """1 where a boolean or a number is not 0."""
    return tensor if tensor is None or tensor.dtype in _INTEGERS else tensor.bool().to(torch.uint8)


def numbers(tensor):
    """In fp32."""
    return None if tensor is None else tensor.detach().float()


def require(is_right, message):
    """Raises ValueError unless a tensor of one truth is true; on a GPU, which nobody waits for, an assertion of its own
    fails there."""
    if is_right.is_cuda:
        torch._assert_async(is_right, message)
    elif not is_right:
        raise ValueError(message)


def chunk_bytes(chunk_size, usual, bytes_each):
    """Bytes of the logits of a chunk; None where the caller left upstream's size.

    bytes_each: of a chunk of size 1. Raises ValueError for a size that is not a whole number from 1 on.
    """
    if not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be a whole number of at least 1; found {chunk_size!r}")
    return None if chunk_size == usual else chunk_size * bytes_each


def run(operation, tensors, needs, memory=(None, None), of_chunks=None, **options):
    """The operation's outputs by name, and what it was called with: tensors, and options.

    needs: the bits of gradients, and of their scales. memory: the arguments accum_dtype and budget_bytes. of_chunks:
    bytes that upstream's argument asks for.
    """
    options["accumulation"] = "exact" if sums_exactly(memory[0], tensors["weight"]) else "storage"
    options["budget_bytes"] = budget(memory[1], of_chunks)
    options["needs"] = needs
    # Not detached: saved, they lead back to what they came from.
    tensors = {name: t.contiguous() for name, t in tensors.items() if t is not None}
    return call(operation, tensors, **options), tensors, options


def loss_and_gradients(operation, tensors, needs_weight, accum_dtype, factor=None, **options):
    """The loss, and the gradients of input and weight (None where not needed) for an upstream gradient of 1, outside of
    autograd.

    factor: what all three are multiplied by.
    """
    needs = _GRADIENTS["input"] | needs_weight * _GRADIENTS["weight"]
    out = run(operation, tensors, needs | (factor is not None) * _SCALES, (accum_dtype, None), **options)[0]
    gradients = [out["dinput"], out.get("dweight")]
    if factor is None:
        return out["loss"], *gradients
    scales = out.get("input_scales"), out.get("weight_scales")
    factor = torch.as_tensor(factor, dtype=torch.float32, device=out["loss"].device)
    return out["loss"] * factor, *(g if g is None else scale_(g, factor, s) for g, s in zip(gradients, scales))


def scaled_gradients(grad_output, grad_input, grad_weight):
    """Both gradients times the loss's upstream gradient, into themselves; that of the weight may be None."""
    return tuple(g if g is None else scale_(g, grad_output) for g in (grad_input, grad_weight))


class UntracedFunction(Function):
    """A Function that torch.compile breaks its graph at: whether autograd is on is read at run time.

    It takes distributed tensors as whole ones, and gives them their gradients distributed as they are.
    """

    @classmethod
    @outside_graphs(OUTSIDE)
    def apply(cls, *arguments):
        # Before the Function, so that autograd distributes gradients.
        arguments = list(map(gathered, arguments))
        if not torch.is_grad_enabled():
            arguments = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments]
        return super().apply(*arguments)


class LinearLossFunction(UntracedFunction):
    """A loss whose first two arguments are input and weight.

    Gradients for an upstream gradient of 1 are computed with the loss and scaled in the backward pass, for what
    needs one; in `torch.no_grad` there are none. They have no derivatives.
    """

    # Where the bias is among the arguments of `forward`.
    BIAS = 3

    @classmethod
    def compute(cls, ctx, operation, tensors, memory=(None, None), of_chunks=None, wanted=None, **options):
        """The operation's outputs by name; gradients stay in the context.

        memory, of_chunks: as for `run`. wanted: whether input, weight and bias need gradients, by name, where the
        places of arguments do not say so.
        """
        if wanted is None:
            needed = ctx.needs_input_grad
            wanted = {"input": needed[0], "weight": needed[1], "bias": tensors["bias"] is not None and needed[cls.BIAS]}
        needs = sum(bit for name, bit in _GRADIENTS.items() if wanted[name])
        needs = needs and needs | _SCALES
        out, tensors, options = run(operation, tensors, needs, memory, of_chunks, **options)
        ctx.operation, ctx.options, ctx.names, ctx.place = operation, options, list(tensors), cls.BIAS
        ctx.gradients = _pop_gradients(out)
        ctx.save_for_backward(*tensors.values())
        ctx.set_materialize_grads(False)
        return out

    @staticmethod
    @first_order
    def backward(ctx, upstream, *_):
        # Gradients are handed over once; a second pass through a retained graph computes them again.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            out = call(ctx.operation, dict(zip(ctx.names, ctx.saved_tensors)), **ctx.options)
            gradients = _pop_gradients(out)
        results = [None] * max(len(ctx.needs_input_grad), ctx.place + 1)
        for name, place in zip(_GRADIENTS, (0, 1, ctx.place)):
            gradient, scales = gradients[name]
            if gradient is not None and upstream is not None:
                results[place] = scale_(gradient, upstream, scales)
        return tuple(results)


def _pop_gradients(out):
    """The gradients among an operation's outputs, with the scales of their rows, by name; None where there is none."""
    return {name: (out.pop(f"d{name}", None), out.pop(f"{name}_scales", None)) for name in _GRADIENTS}
