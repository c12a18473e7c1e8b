"""Losses of a student's last layer beside a teacher's."""

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer


class LigerFusedLinearDistillationBase(LinearLossFunction):
    """weight_hard_loss times the labels' cross entropy plus weight_soft_loss times a distance to a teacher.

    student_input: (N, Hs), student_weight: (V, Hs), teacher_input: (N, Ht), teacher_weight: (V or more, Ht),
    true_labels: (N). Both losses are means over the tokens whose label is not `ignore_index`. The missing logits of a
    student with fewer classes are 0. Gives the loss, or (loss, soft, hard), in fp32. Gradients are the student's.
    """

    BIAS = 5

    @classmethod
    def beside_teacher(
        cls, ctx, formula, student, teacher, true_labels, *, weight_hard_loss, weight_soft_loss, beta, ignore_index,
        temperature, chunk_size, return_soft_hard_loss, memory,
    ):  # fmt: skip
        """The results of a formula of the Swift library; student and teacher: input, weight and bias."""
        assert temperature != 0, "temperature may not be 0"
        classes = student[1].shape[0] + teacher[1].shape[0]
        tensors = layer(*student) | layer(*teacher, prefix="teacher_") | {"labels": labels(true_labels)}
        out = cls.compute(
            ctx,
            "fused_linear_distillation",
            tensors,
            formula=formula,
            beta=float(beta),
            hard_weight=float(weight_hard_loss),
            wants_hard=return_soft_hard_loss,
            soft_weight=float(weight_soft_loss),
            temperature=float(temperature),
            ignore_index=ignore_index,
            memory=memory,
            of_chunks=chunk_bytes(chunk_size, 1024, classes, student[1]),
        )
        return (out["loss"], out["soft"], out["hard"]) if return_soft_hard_loss else out["loss"]
