"""Generalised Jensen-Shannon divergence to a teacher, with the labels' cross entropy."""

import math

import torch

from liger_kernel.chunked_loss._distillation import DistillationFunction
from liger_kernel.chunked_loss._distillation import DistillationLoss
from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss.fused_linear_distillation import LigerFusedLinearDistillationBase  # noqa: F401


def _kernel(beta):
    return {"formula": "jsd", "beta": float(beta)}


class LigerFusedLinearJSDFunction(DistillationFunction):
    """The divergence of softmax(student / temperature) and softmax(teacher / temperature).

    beta 0 is the teacher's Kullback-Leibler divergence to the student, 1 the student's to the teacher; between them
    beta KL(teacher, M) + (1 - beta) KL(student, M), M = beta teacher + (1 - beta) student.
    """

    @staticmethod
    @has_kernel(_kernel)
    def distillation_loss_fn(student_logits, teacher_logits, beta=0.5, target=None, ignore_index=-100):
        q, p = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
        if beta in (0, 1):
            of, to = (p, q) if beta == 0 else (q, p)
            losses = (of.exp() * (of - to)).sum(-1)
        else:
            m = torch.logaddexp(p + math.log(beta), q + math.log1p(-beta))
            losses = (beta * p.exp() * (p - m) + (1 - beta) * q.exp() * (q - m)).sum(-1)
        return (losses if target is None else losses.masked_fill(target == ignore_index, 0)).sum()


class LigerFusedLinearJSDLoss(DistillationLoss):
    """`LigerFusedLinearJSDFunction` with its options."""

    FUNCTION = LigerFusedLinearJSDFunction
