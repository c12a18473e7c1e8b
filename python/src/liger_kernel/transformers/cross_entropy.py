"""Cross entropy as a module."""

from typing import Optional

import torch

from torch import nn

from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction  # noqa: F401  (other packages import these here)
from liger_kernel.transformers.functional import CrossEntropyOutput  # noqa: F401
from liger_kernel.transformers.functional import liger_cross_entropy


def check_loss_options(label_smoothing, reduction, softcap):
    """Raises AssertionError for options outside their range."""
    assert 0 <= label_smoothing <= 1, f"label_smoothing must be from 0 to 1. Got: {label_smoothing}"
    assert reduction in ("mean", "sum", "none"), f"reduction must be 'mean', 'sum' or 'none'. Got: {reduction}"
    assert softcap is None or softcap > 0, f"softcap must be above 0 or None. Got: {softcap}"


class LigerCrossEntropyLoss(nn.Module):
    """Cross entropy of (N, V) logits with N class numbers, and what else `functional.liger_cross_entropy` takes.

    Returns the loss, or a CrossEntropyOutput where a `return_*` switch is on.
    """

    def __init__(
        self,
        weight: Optional[torch.FloatTensor] = None,
        ignore_index: int = -100,
        lse_square_scale: float = 0.0,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        softcap: Optional[float] = None,
        return_z_loss: bool = False,
        return_token_accuracy: bool = False,
        return_predicted_tokens: bool = False,
    ):
        super().__init__()
        check_loss_options(label_smoothing, reduction, softcap)
        # Goes with the module to another device, and is no part of its state.
        self.register_buffer("weight", weight, persistent=False)
        self.ignore_index, self.lse_square_scale = ignore_index, lse_square_scale
        self.label_smoothing, self.reduction, self.softcap = label_smoothing, reduction, softcap
        self.return_z_loss, self.return_token_accuracy = return_z_loss, return_token_accuracy
        self.return_predicted_tokens = return_predicted_tokens

    def forward(self, _input, target):
        return liger_cross_entropy(
            _input, target, self.weight, None, self.ignore_index, None, self.reduction, self.label_smoothing,
            self.lse_square_scale, self.softcap, self.return_z_loss, self.return_token_accuracy,
            self.return_predicted_tokens,
        )  # fmt: skip
