"""Rotary position embedding with Hugging Face's pairing: dimension i turns with dimension i + rotary_dim / 2."""

import torch

from liger_kernel import _library
from liger_kernel._call import device_index
from liger_kernel._call import remember
from liger_kernel._call import run
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive

# Prepared calls by what they depend on; None where tensors must be copied first.
_calls = {}


@primitive(
    "(Tensor q, Tensor k, Tensor cos, Tensor sin, int rotary_dim, bool inverse) -> (Tensor, Tensor)",
    lambda q, k, cos, sin, rotary_dim, inverse: (torch.empty_like(q), torch.empty_like(k)),
)
def _rope(q, k, cos, sin, rotary_dim, inverse):
    """q: [B, Hq, S, D], k: [B, Hk, S, D]; cos, sin: tables of any of the forms that `_rows` takes. Results lie in
    memory as q and k do."""
    index = q.get_device()
    key = (
        q.shape, q.stride(), q.dtype, k.shape, k.stride(), k.dtype, cos.shape, cos.stride(), cos.dtype, sin.shape,
        sin.stride(), sin.dtype, index, k.get_device(), cos.get_device(), sin.get_device(), rotary_dim, inverse,
    )  # fmt: skip
    call = _calls.get(key, key)
    if call is key:
        call = remember(_calls, key, _prepare(q, k, cos, sin, rotary_dim, inverse))
    if call is None:
        return _rope_of_copies(q, k, cos, sin, rotary_dim, inverse)
    yq, yk = torch.empty_like(q), torch.empty_like(k)
    run(call, index, (q.data_ptr(), k.data_ptr(), cos.data_ptr(), sin.data_ptr(), yq.data_ptr(), yk.data_ptr()))
    return yq, yk


def _rope_of_copies(q, k, cos, sin, rotary_dim, inverse):
    """As `_rope`, for strides that the kernel does not take."""
    copies = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k)]
    turned = _rope.eager(*copies, cos.contiguous(), sin.contiguous(), rotary_dim, inverse)
    return tuple(torch.empty_like(x).copy_(y) for x, y in zip((q, k), turned))


def _prepare(q, k, cos, sin, rotary_dim, inverse):
    """The call, over tensors where they lie; None if their strides do not allow that."""
    batch, _, sequence, _ = q.shape
    index = device_index(q)
    if any(device_index(t) != index for t in (k, cos, sin)):
        raise ValueError(f"q, k, cos and sin must be on one device; found {q.device}, {k.device}, {cos.device}")
    tables = [_rows(t, batch, sequence, name) for t, name in ((cos, "cos"), (sin, "sin"))]
    if tables[0] is None or tables[1] is None:
        return None
    per_token = tables[0][0][0] != sequence
    heads = [_tokens(x, per_token) for x in (q, k)]
    if heads[0] is None or heads[1] is None:
        return None
    arrays = zip(("q", "k", "cos", "sin"), (*heads, *tables), (q, k, cos, sin))
    inputs = [(name, shape, strides, tensor.dtype) for name, (shape, strides), tensor in arrays]
    options = {"half": rotary_dim // 2, "inverse": inverse, "per_token": per_token}
    return _library.prepare("rope", index, inputs, options)


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


def _rotary_dim(q, cos, rotary_dim):
    """How much of a head turns."""
    size, width = q.shape[3], cos.shape[-1]
    rotary_dim = min(width, size) if rotary_dim is None else rotary_dim
    if rotary_dim <= 0 or rotary_dim % 2 or rotary_dim > size or width < rotary_dim // 2:
        raise ValueError(
            f"rotary_dim is {rotary_dim}; it must be even, at most the head size {size}, and at most twice the "
            f"width {width} of cos"
        )
    return rotary_dim


def rope_forward(q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Turned q and k, then cos and sin as they were given. Inputs stay as they are."""
    return *_rope(q, k, cos, sin, _rotary_dim(q, cos, rotary_dim), False), cos, sin


def rope_backward(dq, dk, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Gradients of q and k."""
    return _rope(dq, dk, cos, sin, _rotary_dim(dq, cos, rotary_dim), True)


class LigerRopeFunction(torch.autograd.Function):
    """Turns q (B, Hq, S, D) and k (B, Hk, S, D). `position_ids` and `unsqueeze_dim` have no effect, as upstream."""

    @staticmethod
    def forward(ctx, q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
        ctx.rotary_dim = _rotary_dim(q, cos, rotary_dim)
        ctx.save_for_backward(cos, sin)
        return _rope(q, k, cos, sin, ctx.rotary_dim, False)

    @staticmethod
    @first_order
    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors
        return *_rope(dq, dk, cos, sin, ctx.rotary_dim, True), None, None, None, None, None
