"""Generalised Jensen-Shannon divergence to a teacher, with the labels' cross entropy."""

import math

import torch

from torch import nn

from liger_kernel.chunked_loss._formulas import has_kernel
from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_distillation import LigerFusedLinearDistillationBase


def _kernel(beta):
    return {"formula": "jsd", "beta": float(beta)}


class LigerFusedLinearJSDFunction(LigerFusedLinearDistillationBase):
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

    @classmethod
    def forward(
        cls, ctx, student_input, student_weight, teacher_input, teacher_weight, true_labels, student_bias,
        teacher_bias, weight_hard_loss=0.5, weight_soft_loss=0.5, beta=0.5, ignore_index=-100, temperature=1.0,
        compiled=True, chunk_size=1024, return_soft_hard_loss=False,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        return super().forward(
            cls=cls, ctx=ctx, student_input=student_input, student_weight=student_weight, teacher_input=teacher_input,
            teacher_weight=teacher_weight, target=true_labels, student_bias=student_bias, teacher_bias=teacher_bias,
            chunk_size=chunk_size, ignore_index=ignore_index, weight_hard_loss=weight_hard_loss,
            weight_soft_loss=weight_soft_loss, beta=beta, temperature=temperature, compiled=compiled,
            return_soft_hard_loss=return_soft_hard_loss, accum_dtype=accum_dtype, budget_bytes=budget_bytes,
        )  # fmt: skip


class LigerFusedLinearJSDLoss(nn.Module):
    """`LigerFusedLinearJSDFunction` with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    def __init__(
        self, weight_hard_loss: float = 0.5, weight_soft_loss: float = 0.5, beta: float = 0.5,
        ignore_index: int = -100, temperature: float = 1.0, compiled: bool = True, chunk_size: int = 1024,
        return_soft_hard_loss: bool = False,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        assert temperature != 0, "temperature may not be 0"
        self.weight_hard_loss, self.weight_soft_loss, self.beta = weight_hard_loss, weight_soft_loss, beta
        self.ignore_index, self.temperature, self.compiled = ignore_index, temperature, compiled
        self.chunk_size, self.return_soft_hard_loss = chunk_size, return_soft_hard_loss
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(
        self, student_input, student_weight, teacher_input, teacher_weight, true_labels, student_bias=None,
        teacher_bias=None,
    ):  # fmt: skip
        return with_formula_of(self, LigerFusedLinearJSDFunction).apply(
            student_input, student_weight, teacher_input, teacher_weight, true_labels, student_bias, teacher_bias,
            self.weight_hard_loss, self.weight_soft_loss, self.beta, self.ignore_index, self.temperature,
            self.compiled, self.chunk_size, self.return_soft_hard_loss,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
