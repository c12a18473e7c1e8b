"""Cross entropy with total variation distance as a module."""

from torch import nn

from liger_kernel.ops.fused_ce_tvd import LigerFusedCETVDFunction


class LigerFusedCETVDLoss(nn.Module):
    """(cross entropy, total variation distance from a teacher) of each token, in fp32."""

    def __init__(self, ignore_index=-100):
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, student_logits, teacher_logits, target):
        return LigerFusedCETVDFunction.apply(student_logits, teacher_logits, target, self.ignore_index)
