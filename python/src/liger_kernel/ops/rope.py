"""Rotary position embedding with Hugging Face's pairing: dimension i rotates with dimension i + rotary_dim / 2."""

import functools

import torch

from liger_kernel import _library
from liger_kernel._call import device_index
from liger_kernel._call import runner
from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order


def _tokens(x, per_token):
    """Heads as the kernel takes them, [batch, sequence, heads, size] side by side: shape and strides, or None.

    What a projection leaves is that, seen through a transposition. Where every sequence has the same angles, heads
    may as well lie sequence by sequence: then each counts as a sequence of its own.
    """
    batch, heads, sequence, size = x.shape
    side_by_side = (sequence * heads * size, heads * size, size, 1)
    if x.transpose(1, 2).is_contiguous():
        return (batch, sequence, heads, size), side_by_side
    if x.is_contiguous() and not per_token:
        return (batch * heads, sequence, 1, size), (sequence * size, size, size, 1)
    return None


def _rows(table, batch, sequence, name):
    """cos or sin as rows, one a position or one a token: shape and strides, or None if they are not rows in memory.

    Takes (S, D), (1, S, D), (B, S, D) and these with a dimension of 1 for the heads; ValueError for others.
    """
    sizes = list(zip(table.shape, table.stride()))
    if len(sizes) == 4:
        del sizes[1 if table.shape[1] == 1 else 2]
    wrong = ValueError(
        f"{name} has shape {tuple(table.shape)}; for a batch of {batch} sequences of {sequence} tokens it must be "
        "(S, D), (1, S, D), (B, S, D) or these with a dimension of 1 for the heads"
    )
    if len(sizes) == 3:
        (count, step), (rows, pitch), _ = sizes
        if rows != sequence or count not in (1, batch):
            raise wrong
        if count > 1 and step != 0:
            if step != rows * pitch:
                return None
            rows *= count
    elif len(sizes) == 2:
        rows, pitch = sizes[0]
        if rows not in (sequence, batch * sequence):
            raise wrong
    else:
        raise wrong
    return ((rows, table.shape[-1]), (pitch, 1)) if table.stride(-1) == 1 else None


def _prepare(name, tensors, options, outputs):
    """The runner over tensors where they lie, or over copies if their strides do not allow that."""
    q, k, cos, sin = tensors.values()
    if q.dim() != 4 or k.dim() != 4:
        raise ValueError(
            f"q and k must be (batch, heads, sequence, size); found shapes {tuple(q.shape)} and {tuple(k.shape)}"
        )
    batch, _, sequence, _ = q.shape
    index = device_index(q)
    if any(device_index(t) != index for t in (k, cos, sin)):
        raise ValueError(f"q, k, cos and sin must be on one device; found {q.device}, {k.device}, {cos.device}")
    tables = [_rows(t, batch, sequence, name) for t, name in ((cos, "cos"), (sin, "sin"))]
    per_token = tables[0] is not None and tables[0][0][0] != sequence
    heads = [_tokens(x, per_token) for x in (q, k)]
    lying = (*heads, *tables)
    if any(found is None for found in lying):
        return functools.partial(_run_copies, options["rotary_dim"], options["inverse"])
    inputs = [(name, *found, tensor.dtype) for found, (name, tensor) in zip(lying, tensors.items())]
    call = _library.prepare(name, index, inputs, options | {"per_token": per_token})
    # In the heads' own shape and strides, whose elements are the kernel's in the same order in memory.
    call.outputs = [(name, tuple(x.shape), dtype) for (name, _, dtype), x in zip(call.outputs, (q, k))]
    return runner(call, q.device, outputs=outputs, strides=(q.stride(), k.stride()))


# q: [B, Hq, S, D], k: [B, Hk, S, D]; cos, sin: tables of any of the forms that `_rows` takes. Results have the strides
# of q and k.
_rotate = operation("rope", _prepare, strided=True, keeps_strides=True)


def _run_copies(rotary_dim, inverse, q, k, cos, sin):
    """As `_rotate`, for strides that the kernel does not take."""
    copies = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k)]
    rotated = _rotate(*copies, cos.contiguous(), sin.contiguous(), rotary_dim, inverse)
    return tuple(torch.empty_like(x).copy_(y) for x, y in zip((q, k), rotated))


def _rotary_dim(q, cos, rotary_dim):
    """How much of a head is rotated."""
    size, width = q.shape[3], cos.shape[-1]
    rotary_dim = min(width, size) if rotary_dim is None else rotary_dim
    if rotary_dim <= 0 or rotary_dim % 2 or rotary_dim > size or width < rotary_dim // 2:
        raise ValueError(
            f"rotary_dim is {rotary_dim}; it must be even and at most the head size {size}, and cos and sin must "
            f"have at least rotary_dim / 2 columns; they have {width}"
        )
    return rotary_dim


def heads_are_last(cos, unsqueeze_dim):
    """Whether q and k are (B, S, H, D), which transformers says by where it puts a dimension for the heads."""
    return unsqueeze_dim in (2, -2) and cos.dim() == 3


def learned(names):
    """The error of tables that need a gradient, which there is none of."""
    return NotImplementedError(
        f"{names} need gradients, which liger_kernel's rotary embeddings do not give. Detach them, or switch rope off "
        "where their frequencies are learned"
    )


def _turn(q, k, cos, sin, unsqueeze_dim, rotary_dim, inverse):
    """Rotated q and k, or the other way round, and how much of a head was rotated."""
    rotary_dim = _rotary_dim(q, cos, rotary_dim)
    if not heads_are_last(cos, unsqueeze_dim):
        return _rotate(q, k, cos, sin, rotary_dim, inverse), rotary_dim
    q, k = _rotate(q.transpose(1, 2), k.transpose(1, 2), cos, sin, rotary_dim, inverse)
    return (q.transpose(1, 2), k.transpose(1, 2)), rotary_dim


def rope_forward(q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Rotated q and k, then cos and sin as they were given. Inputs stay as they are."""
    return *_turn(q, k, cos, sin, unsqueeze_dim, rotary_dim, False)[0], cos, sin


def rope_backward(dq, dk, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Gradients of q and k."""
    return _turn(dq, dk, cos, sin, unsqueeze_dim, rotary_dim, True)[0]


class LigerRopeFunction(Function):
    """Rotates q (B, Hq, S, D) and k (B, Hk, S, D). `position_ids` has no effect, as upstream.

    unsqueeze_dim: 2 for q (B, S, Hq, D) and k (B, S, Hk, D) with tables (B, S, D), as in transformers.
    """

    @staticmethod
    def forward(ctx, q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
        needed = ctx.needs_input_grad
        if needed[2] or needed[3]:
            raise learned("cos and sin")
        ctx.unsqueeze_dim = unsqueeze_dim
        ctx.save_for_backward(cos, sin)
        rotated, ctx.rotary_dim = _turn(q, k, cos, sin, unsqueeze_dim, rotary_dim, False)
        return rotated

    @staticmethod
    @first_order
    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors
        return *_turn(dq, dk, cos, sin, ctx.unsqueeze_dim, ctx.rotary_dim, True)[0], None, None, None, None, None
