"""Total variation distance as a module."""

from torch import nn

from liger_kernel.ops.tvd import LigerTVDLossFunction


class LigerTVDLoss(nn.Module):
    """The distance of (N, V) probabilities."""

    def __init__(self, reduction="batchmean", ignore_index: int = -100):
        super().__init__()
        self.reduction, self.ignore_index = reduction, ignore_index

    def forward(self, p, q, shift_labels=None):
        return LigerTVDLossFunction.apply(p, q, shift_labels, self.reduction, self.ignore_index)
