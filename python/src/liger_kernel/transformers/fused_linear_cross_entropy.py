"""Cross entropy of a linear layer's logits as a module."""

from typing import Optional

import torch

from torch import nn

from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction
from liger_kernel.ops.utils import tracked
from liger_kernel.transformers.cross_entropy import check_loss_options
from liger_kernel.transformers.functional import CrossEntropyOutput  # noqa: F401  (where others look for it)
from liger_kernel.transformers.functional import cross_entropy_result


class LigerFusedLinearCrossEntropyLoss(nn.Module):
    """Cross entropy of `_input @ lin_weight.T + bias` without the logits. The weight comes first.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    Returns the loss, or a CrossEntropyOutput where a `return_*` switch is on.
    """

    def __init__(
        self,
        ce_weight: Optional[torch.FloatTensor] = None,
        ignore_index: int = -100,
        lse_square_scale: float = 0.0,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        softcap: Optional[float] = None,
        return_z_loss: bool = False,
        accum_dtype: Optional[torch.dtype] = None,
        use_token_scaling: bool = False,
        return_token_accuracy: bool = False,
        return_predicted_tokens: bool = False,
        budget_bytes: Optional[int] = None,
    ):
        super().__init__()
        check_loss_options(label_smoothing, reduction, softcap)
        # Goes with the module to another device, and is no part of its state.
        self.register_buffer("ce_weight", ce_weight, persistent=False)
        self.ignore_index, self.lse_square_scale = ignore_index, lse_square_scale
        self.label_smoothing, self.reduction, self.softcap = label_smoothing, reduction, softcap
        self.return_z_loss, self.accum_dtype, self.use_token_scaling = return_z_loss, accum_dtype, use_token_scaling
        self.return_token_accuracy, self.return_predicted_tokens = return_token_accuracy, return_predicted_tokens
        self.budget_bytes = budget_bytes

    def forward(self, lin_weight, _input, target, bias=None):
        lin_weight, _input, bias = tracked(lin_weight, _input, bias)
        results = LigerFusedLinearCrossEntropyFunction.apply(
            _input, lin_weight, target, bias, self.ce_weight, self.ignore_index, self.lse_square_scale,
            self.label_smoothing, self.reduction, self.softcap, self.return_z_loss, self.accum_dtype,
            self.use_token_scaling, self.return_token_accuracy, self.return_predicted_tokens, None,
            None, 1, self.budget_bytes,
        )  # fmt: skip
        return cross_entropy_result(
            results, self.return_z_loss, self.return_token_accuracy, self.return_predicted_tokens
        )
