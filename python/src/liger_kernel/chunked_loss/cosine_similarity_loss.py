"""Cosine distance to a teacher's logits, with the labels' cross entropy."""

import torch.nn.functional as F

from liger_kernel.chunked_loss._distillation import DistillationFunction
from liger_kernel.chunked_loss._distillation import DistillationLoss
from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss.fused_linear_distillation import LigerFusedLinearDistillationBase  # noqa: F401


def _kernel(beta):
    return {"formula": "cosine", "beta": float(beta)}


class LigerFusedLinearCosineSimilarityFunction(DistillationFunction):
    """beta (1 - cos(student's logits, teacher's logits)); `temperature` does not change it."""

    @staticmethod
    @has_kernel(_kernel)
    def distillation_loss_fn(student_logits, teacher_logits, target=None, ignore_index=None, beta=1.0):
        losses = beta * (1 - F.cosine_similarity(student_logits, teacher_logits, dim=-1))
        has_ignored = target is not None and ignore_index is not None
        return (losses.masked_fill(target == ignore_index, 0) if has_ignored else losses).sum()


class LigerFusedLinearCosineSimilarityLoss(DistillationLoss):
    """`LigerFusedLinearCosineSimilarityFunction` with its options."""

    FUNCTION = LigerFusedLinearCosineSimilarityFunction
