"""RMSNorm whose result is scaled and shifted by data: y = RMSNorm(x) (1 + scale) + shift, over the last dimension."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.rms_norm import _casting
from liger_kernel.ops.utils import torch_to_triton_dtype  # noqa: F401  (upstream's module has this name too)

_forward = operation("modulated_rms_norm_forward")
_backward = operation("modulated_rms_norm_backward")


def modulated_rms_norm_forward(X, W, scale, shift, eps, offset, casting_mode):
    """y, rstd, two zeros for upstream's callers, the casting's name, and how many rows share a row of the scale."""
    casting, rows = _casting(casting_mode), _modulation(X, scale, shift)
    Y, RSTD = _forward(X, W, *rows, float(eps), float(offset), casting)
    return Y, RSTD, 0, 0, casting, X.numel() // scale.numel()


def modulated_rms_norm_backward(
    dY, X, W, scale, shift, RSTD, offset, casting_mode, BLOCK_SIZE=None, num_warps=None, rows_per_modulation=None,
    in_place=False,
):  # fmt: skip
    """Gradients of x, weight, scale and shift, None for what is not there. `in_place` changes nothing."""
    dX, dW, dscale, dshift = _backward(
        dY, X, W, *_modulation(X, scale, shift), RSTD, float(offset), _casting(casting_mode)
    )
    return dX, dW if W is not None else None, dscale.reshape(scale.shape), _like(dshift, shift)


def _modulation(x, scale, shift):
    """Scale and shift as rows. Raises AssertionError where they do not fit x."""
    columns = x.shape[-1]
    assert scale.numel() % columns == 0, (
        f"Scale element count must be a multiple of the hidden size {columns}; found {scale.numel()}"
    )
    count = scale.numel() // columns
    assert count > 0, "Scale must have at least one row."
    assert x.numel() // columns % count == 0, (
        f"Scale rows must divide hidden state rows for broadcasting; found {count} and {x.numel() // columns}"
    )
    if shift is None:
        return scale.reshape(count, columns), None
    assert shift.numel() == scale.numel(), (
        f"Shift must use the same broadcast rows as scale; found {tuple(shift.shape)} and {tuple(scale.shape)}"
    )
    return scale.reshape(count, columns), shift.reshape(count, columns)


def _like(gradient, tensor):
    return None if tensor is None else gradient.reshape(tensor.shape)


class LigerModulatedRMSNormFunction(Function):
    """X: [..., H]; W: [H] or None; scale and shift: rows of H that divide those of X, shift may be None.

    One row of scale serves as many consecutive rows of X as there are for each. `in_place` changes nothing.
    """

    @staticmethod
    def forward(ctx, X, W, scale, shift, eps, offset=0.0, casting_mode="llama", in_place=True):
        ctx.options = options = float(offset), _casting(casting_mode)
        rows = _modulation(X, scale, shift)
        Y, RSTD = _forward(X, W, *rows, float(eps), *options)
        ctx.save_for_backward(X, W, *rows, RSTD)
        ctx.shapes = scale.shape, None if shift is None else shift.shape
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        needs, shapes = ctx.needs_input_grad, ctx.shapes
        has_weight, has_shift = needs[1], shapes[1] is not None and needs[3]
        dX, dW, dscale, dshift = _backward(
            dY, *ctx.saved_tensors, *ctx.options, has_weight, needs[2] or has_shift
        )
        return (
            dX, dW if has_weight else None, dscale.reshape(shapes[0]) if needs[2] else None,
            dshift.reshape(shapes[1]) if has_shift else None, None, None, None, None,
        )  # fmt: skip
