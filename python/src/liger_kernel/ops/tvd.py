"""Total variation distance between two distributions, from probabilities."""

import torch

from liger_kernel.ops import _divergence
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order


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
