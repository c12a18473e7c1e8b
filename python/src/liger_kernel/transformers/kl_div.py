"""Kullback-Leibler divergence as a module."""

from torch import nn

from liger_kernel.ops.kl_div import LigerKLDivLossFunction


class LigerKLDIVLoss(nn.KLDivLoss):
    """As torch's KLDivLoss, with probabilities below `eps` counted as `eps` in the logarithm."""

    def __init__(self, eps: float = 1e-10, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.eps = eps

    def forward(self, y_pred, y_true):
        return LigerKLDivLossFunction.apply(y_pred, y_true, self.reduction, self.log_target, self.eps)
