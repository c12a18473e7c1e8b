"""Products of groups of rows with a matrix each, where the groups' sizes are read: as a loop, and for compilers.

A compiler cannot trace a loop over sizes that are known on the device only: it is given operators that hold the loop.
"""

import torch
import torch.nn.functional as F

from liger_kernel._operation import _NAMESPACE
from liger_kernel._operation import _library
from liger_kernel._operation import _register_fake
from liger_kernel.ops.utils import autocast_dtype


def groups_of(rows: torch.Tensor, counts: torch.Tensor):
    """The rows of each group, one after the other, and those beyond the last."""
    sizes = counts.tolist()
    return torch.split(rows, [*sizes, rows.shape[0] - sum(sizes)])


def linear_by_groups(rows: torch.Tensor, weight: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """rows weight_e^T, where the first `counts[0]` rows belong to matrix 0 and so on; rows beyond are zero."""
    *parts, beyond = groups_of(rows, counts)
    products = [F.linear(part, weight[e]) for e, part in enumerate(parts) if part.shape[0]]
    if beyond.shape[0] or not products:
        # Under autocast products have another type than rows.
        products.append((products or [rows])[0].new_zeros(beyond.shape[0], weight.shape[1]))
    return torch.cat(products)


class TracedLinearByGroups(torch.autograd.Function):
    """The same while a compiler traces."""

    @classmethod
    def of(cls, rows, weight, counts):
        dtype = autocast_dtype(rows.device.type)
        if dtype is not None:
            rows, weight = rows.to(dtype), weight.to(dtype)
        return cls.apply(rows, weight, counts)

    @staticmethod
    def forward(ctx, rows, weight, counts):
        ctx.save_for_backward(rows, weight, counts)
        return _product(rows, weight, counts)

    @staticmethod
    def backward(ctx, gradient):
        rows, weight, counts = ctx.saved_tensors
        of_rows = _product(gradient, weight.transpose(1, 2), counts) if ctx.needs_input_grad[0] else None
        of_weight = _weight_gradient(gradient, rows, counts, weight.shape[0]) if ctx.needs_input_grad[1] else None
        return of_rows, of_weight, None


def _run_product(rows, weight, counts):
    # What is multiplied has its type already.
    with torch.autocast(rows.device.type, enabled=False):
        return linear_by_groups(rows, weight, counts)


def _run_weight_gradient(gradient, rows, counts, groups):
    result = rows.new_zeros(groups, gradient.shape[1], rows.shape[1])
    with torch.autocast(rows.device.type, enabled=False):
        for matrix, left, right in zip(result, groups_of(gradient, counts), groups_of(rows, counts)):
            torch.mm(left.T, right, out=matrix)
    return result


def _operator(name, schema, run, fake):
    _library.define(name + schema)
    _library.impl(name, run, "CompositeExplicitAutograd")
    _register_fake(f"{_NAMESPACE}::{name}")(fake)
    return getattr(getattr(torch.ops, _NAMESPACE), name).default


_product = _operator(
    "linear_by_groups",
    "(Tensor rows, Tensor weight, Tensor counts) -> Tensor",
    _run_product,
    lambda rows, weight, counts: rows.new_empty(rows.shape[0], weight.shape[1]),
)
_weight_gradient = _operator(
    "weight_gradient_by_groups",
    "(Tensor gradient, Tensor rows, Tensor counts, int groups) -> Tensor",
    _run_weight_gradient,
    lambda gradient, rows, counts, groups: rows.new_empty(groups, gradient.shape[1], rows.shape[1]),
)
