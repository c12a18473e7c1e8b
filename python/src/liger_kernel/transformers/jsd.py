"""Generalised Jensen-Shannon divergence as a module."""

from torch import nn

from liger_kernel.ops.jsd import LigerJSDFunction


class LigerJSD(nn.Module):
    """The divergence of (N, V) log-probabilities, averaged over rows whose label is not `ignore_index`."""

    def __init__(self, beta: float = 0.5, ignore_index: int = -100):
        super().__init__()
        self.beta, self.ignore_index = beta, ignore_index

    def forward(self, log_q, log_p, shift_labels=None):
        return LigerJSDFunction.apply(log_q, log_p, shift_labels, self.beta, self.ignore_index)
