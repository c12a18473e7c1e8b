"""Kullback-Leibler divergence of a linear layer's softmax from a teacher's probabilities as a module."""

from torch import nn

from liger_kernel.ops.fused_linear_kl_div import LigerFusedLinearKLDivFunction


class LigerFusedLinearKLDivLoss(nn.Module):
    """`LigerFusedLinearKLDivFunction` with its options."""

    def __init__(
        self, reduction: str = "batchmean", ignore_index: int = -100, temperature: float = 1.0, eps: float = 1e-10,
        accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        super().__init__()
        self.reduction, self.ignore_index, self.temperature, self.eps = reduction, ignore_index, temperature, eps
        self.accum_dtype, self.budget_bytes = accum_dtype, budget_bytes

    def forward(self, student_input, student_weight, target, shift_labels=None):
        return LigerFusedLinearKLDivFunction.apply(
            student_input, student_weight, target, shift_labels, self.reduction, self.ignore_index, self.temperature,
            self.eps, self.accum_dtype, self.budget_bytes,
        )  # fmt: skip

    def extra_repr(self):
        names = ("reduction", "ignore_index", "temperature", "eps", "accum_dtype")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)
