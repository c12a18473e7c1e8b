"""Kullback-Leibler divergence of a student's log-probabilities from a teacher's distribution."""

import torch

from liger_kernel.ops import _divergence
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order


class LigerKLDivLossFunction(Function):
    """y_pred: (N, V) log-probabilities; y_true: probabilities, or their logarithms with `log_target`. fp32."""

    @staticmethod
    def forward(ctx, y_pred, y_true, reduction="batchmean", log_target=False, eps=1e-10):
        if reduction not in ("none", "sum", "mean", "batchmean"):
            raise ValueError(f"reduction must be 'none', 'sum', 'mean' or 'batchmean'; found {reduction!r}")
        formula = "kl_of_logarithms" if log_target else "kl"
        return _divergence.forward(ctx, y_pred, y_true, None, (formula, reduction, -100, 0.5, float(eps)))

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        return _divergence.backward(ctx, grad_output), None, None, None, None
