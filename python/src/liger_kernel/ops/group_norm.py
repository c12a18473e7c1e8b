"""Group normalisation over channels."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("group_norm_forward")
_backward = operation("group_norm_backward")


def group_norm_forward(X, num_channels, num_groups, W, B, eps):
    """y, x, mean, rstd, and a zero for upstream's callers."""
    _check(X, num_channels, num_groups)
    Y, mean, rstd = _forward(X, W, B, num_groups, float(eps))
    return Y, X, mean, rstd, 0


def group_norm_backward(dY, X, W, B, Mean, RSTD, num_channels, num_groups):
    """Gradients of x, weight and bias."""
    return _backward(dY, X, W, Mean, RSTD, num_groups)


def _check(x, channels, groups):
    assert x.dim() >= 3, f"Input must have at least three dimensions, (batch, channels, ...); found {tuple(x.shape)}"
    assert x.shape[1] == channels, f"Input has {x.shape[1]} channels; num_channels is {channels}"
    assert channels % groups == 0, f"num_channels {channels} must be divisible by num_groups {groups}"


class LigerGroupNormFunction(Function):
    """X: (B, C, ...); weight and bias: (C)."""

    @staticmethod
    def forward(ctx, X, affine_scaling_weight, affine_shifting_bias, num_channels, num_groups, eps):
        _check(X, num_channels, num_groups)
        Y, mean, rstd = _forward(X, affine_scaling_weight, affine_shifting_bias, num_groups, float(eps))
        ctx.save_for_backward(X, affine_scaling_weight, mean, rstd)
        ctx.groups = num_groups
        return Y

    @staticmethod
    @first_order
    def backward(ctx, dY):
        return *_backward(dY, *ctx.saved_tensors, ctx.groups), None, None, None
