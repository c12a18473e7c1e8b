"""Total variation distance between two distributions, from probabilities."""

from liger_kernel.ops import _divergence
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order


def tv_distance_forward_triton(p, q, shift_labels, reduction, ignore_index, has_label):
    """The loss, and the gradient of p for an upstream gradient of 1; the name is upstream's.

    has_label: whether `shift_labels` counts; without it all rows do.
    """
    options = "tvd", "batchMean" if reduction == "batchmean" else reduction, ignore_index, 0.5, 0.0
    return _divergence.loss_and_gradient(p, q, shift_labels if has_label else None, *options)


def tvd_backward_triton(grad_output, grads):
    """The gradient times the loss's upstream gradient: one number, or one for each entry."""
    return _divergence.scaled(grads, grad_output)


class LigerTVDLossFunction(Function):
    """p and q: (N, V) probabilities; shift_labels: (N) or None. The loss is fp32; q gets no gradient."""

    @staticmethod
    def forward(ctx, p, q, shift_labels=None, reduction="batchmean", ignore_index=-100):
        if reduction not in ("none", "sum", "mean", "batchmean"):
            raise ValueError(f"reduction must be 'none', 'sum', 'mean' or 'batchmean'; found {reduction!r}")
        return _divergence.forward(ctx, p, q, shift_labels, ("tvd", reduction, ignore_index, 0.5, 0.0))

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        return _divergence.backward(ctx, grad_output), None, None, None, None
