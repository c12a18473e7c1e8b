"""Jensen-Shannon divergence of two linear layers' logits as a module."""

from torch import nn

from liger_kernel.ops.fused_linear_jsd import LigerFusedLinearJSDFunction


class LigerFusedLinearJSD(nn.Module):
    """The divergence of a student's layer to a teacher's, averaged over tokens whose label is not `ignore_index`."""

    def __init__(
        self, jsd_beta: float = 0.5, ignore_index: int = -100, temperature: float = 1.0, accum_dtype=None,
        budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        assert temperature != 0, "temperature may not be 0"
        self.jsd_beta, self.ignore_index, self.temperature = jsd_beta, ignore_index, temperature
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(self, student_input, student_weight, teacher_input, teacher_weight, shift_labels):
        return LigerFusedLinearJSDFunction.apply(
            student_input, student_weight, teacher_input, teacher_weight, shift_labels, self.jsd_beta,
            self.ignore_index, self.temperature, self.accum_dtype, None, None, self.budget_bytes,
        )  # fmt: skip
