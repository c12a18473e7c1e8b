"""A linear layer that multiplies in 8-bit floats, forward and backward."""

import torch

from liger_kernel._operation import is_compiling
from liger_kernel.float8.products import Factor
from liger_kernel.float8.products import factors
from liger_kernel.float8.products import product
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.utils import autocast_dtype

# Rows of a factor whose transposed matrix is one too.
_MULTIPLE = 16


class Float8Linear(torch.nn.Linear):
    """`nn.Linear` whose three products have 8-bit factors. Made of a layer by `liger_kernel.fp8`, not by itself."""

    def forward(self, input):
        scaling, kind, emulate = self._float8
        dtype = autocast_dtype(input.device.type) or input.dtype
        rows = input.reshape(-1, self.in_features)
        count = rows.shape[0]
        if count == 0:
            return super().forward(input)
        if hasattr(self.weight, "placements"):
            raise NotImplementedError(
                "8-bit products take whole weights; found one that is distributed over ranks as a DTensor. Apply "
                "tensor parallelism to other layers, or leave this one out by skip="
            )
        keeps = torch.is_grad_enabled() and self.weight.requires_grad
        values, scale, transposed, transposed_scale = _of_input(input, rows, scaling, keeps)
        result = _Float8Product.apply(
            rows, self.weight, values, scale, transposed, transposed_scale, dtype, scaling, kind, emulate
        )
        result = result.view(*input.shape[:-1], self.out_features)
        return result if self.bias is None else result + self.bias.to(dtype)


def _of_input(input, rows, scaling, columns):
    """An input's factors, flat. Kept with the input, as several layers often have the same one."""
    # Traced, a compiler finds them by itself; inference tensors do not say whether they have changed.
    can_keep = not is_compiling() and not input.is_inference()
    kept = getattr(input, "_liger_float8", None) if can_keep else None
    key = (input._version, scaling) if kept is not None else None
    if kept is not None and kept[0] == key and (kept[1][2] is not None or not columns):
        return kept[1]
    with torch.no_grad():
        found, transposed = factors(_padded(rows.detach()), "e4m3", scaling, True, columns)
    # A compiler takes no tensor twice: a scale of all is that of both.
    transposed_scale = transposed.scale if columns and scaling == "row" else None
    made = (*found, transposed.values if columns else None, transposed_scale)
    if can_keep:
        input._liger_float8 = (input._version, scaling), made
    return made


def _padded(rows):
    """Rows of zeros behind the others, to a multiple of 16."""
    missing = -rows.shape[0] % _MULTIPLE
    return rows if missing == 0 else torch.nn.functional.pad(rows, (0, 0, 0, missing))


class _Float8Product(torch.autograd.Function):
    """x w^T from x's factors, which the caller has made; gradients of x and w."""

    @staticmethod
    def forward(ctx, x, weight, values, scale, transposed, transposed_scale, dtype, scaling, kind, emulate):
        ctx.options = (x.shape[0], x.dtype, scaling, kind, emulate)
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        # The layers' one copy of the weight is kept, and rounded again.
        ctx.save_for_backward(
            weight if needs_x or needs_weight else None, transposed if needs_weight else None,
            transposed_scale if scaling == "row" else scale,
        )  # fmt: skip
        of_weight, _ = factors(weight.detach(), "e4m3", scaling, True, False)
        return product(Factor(values, scale), of_weight, dtype, emulate, is_fast=True)[: x.shape[0]]

    @staticmethod
    @first_order
    def backward(ctx, dy):
        weight, *of_input = ctx.saved_tensors
        rows, dtype, scaling, kind, emulate = ctx.options
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        of_dy, of_dy_transposed = factors(_padded(dy), kind, scaling, needs_x, needs_weight)
        dx = dweight = None
        if needs_x:
            _, of_weight = factors(weight.detach(), "e4m3", scaling, False, True)
            dx = product(of_dy, of_weight, dtype, emulate)[:rows]
        if needs_weight:
            dweight = product(of_dy_transposed, Factor(*of_input), weight.dtype, emulate)
        return dx, dweight, *(None,) * 8
