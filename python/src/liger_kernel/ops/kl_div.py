"""Kullback-Leibler divergence of a student's log-probabilities from a teacher's distribution."""

import math

from liger_kernel.ops import _divergence
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order


def kldiv_forward_triton(y_pred, y_true, log_target, reduction, eps):
    """The loss; the name is upstream's."""
    formula, reduction = _formula(log_target), "batchMean" if reduction == "batchmean" else reduction
    return _divergence.loss_and_gradient(y_pred, y_true, None, formula, reduction, -100, 0.5, float(eps))[0]


def kldiv_backward_triton(target, grad_output, new_grads, log_target):
    """The gradient of the sum over all entries times an upstream gradient, into `new_grads`.

    It depends on the teacher alone. grad_output: one number, or one for each entry.
    """
    options = _formula(log_target), "sum", -100, 0.5, 0.0
    gradient = _divergence.loss_and_gradient(target, target, None, *options)[1]
    return new_grads.copy_(_divergence.scaled(gradient, grad_output))


def _formula(log_target):
    return "kl_of_logarithms" if log_target else "kl"


class LigerKLDivLossFunction(Function):
    """y_pred: (N, V) log-probabilities; y_true: probabilities, or their logarithms with `log_target`. fp32.

    Of other shapes "batchmean" divides by the first dimension, as torch does.
    """

    @staticmethod
    def forward(ctx, y_pred, y_true, reduction="batchmean", log_target=False, eps=1e-10):
        if reduction not in ("none", "sum", "mean", "batchmean"):
            raise ValueError(f"reduction must be 'none', 'sum', 'mean' or 'batchmean'; found {reduction!r}")
        options = _formula(log_target), reduction, -100, 0.5, float(eps)
        loss = _divergence.forward(ctx, y_pred, y_true, None, options)
        ctx.rows_each = None
        if reduction == "batchmean" and y_pred.dim() != 2:
            ctx.rows_each = math.prod(y_pred.shape[:-1]) / max(1, y_pred.shape[0])
            loss = loss * ctx.rows_each
        return loss

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        if ctx.rows_each is not None:
            grad_output = grad_output * ctx.rows_each
        return _divergence.backward(ctx, grad_output), None, None, None, None
