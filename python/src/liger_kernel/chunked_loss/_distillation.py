"""What losses that compare whole rows with a teacher's share: all but their formula."""

from torch import nn

from liger_kernel.chunked_loss._formulas import with_formula_of
from liger_kernel.chunked_loss.fused_linear_distillation import LigerFusedLinearDistillationBase


class DistillationFunction(LigerFusedLinearDistillationBase):
    """A formula with `beta`, which a subclass gives."""

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


class DistillationLoss(nn.Module):
    """A Function with its options; `compiled` has no effect, the kernels always are.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
    """

    FUNCTION = None

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
        return with_formula_of(self, self.FUNCTION).apply(
            student_input, student_weight, teacher_input, teacher_weight, true_labels, student_bias, teacher_bias,
            self.weight_hard_loss, self.weight_soft_loss, self.beta, self.ignore_index, self.temperature,
            self.compiled, self.chunk_size, self.return_soft_hard_loss,
            self.accum_dtype, self.budget_bytes,
        )  # fmt: skip
