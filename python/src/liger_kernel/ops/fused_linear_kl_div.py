"""Kullback-Leibler divergence of a linear layer's softmax from a teacher's probabilities, chunk by chunk of tokens."""

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer


class LigerFusedLinearKLDivFunction(LinearLossFunction):
    """KL(target || softmax(student_input @ student_weight.T / temperature)) in fp32, of the tokens that count.

    student_input: (N, H), student_weight: (V, H), target: (N, V) probabilities, shift_labels: (N) or None; tokens whose
    label is `ignore_index` do not count. reduction: "sum", "batchmean" over those tokens, or "mean" over their classes
    too. Logarithms are of at least `eps`. accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`.
    """

    @classmethod
    def forward(
        cls, ctx, student_input, student_weight, target, shift_labels=None, reduction="batchmean", ignore_index=-100,
        temperature=1.0, eps=1e-10, accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        if reduction not in ("batchmean", "mean", "sum"):
            raise ValueError(f"reduction must be 'batchmean', 'mean' or 'sum'; found {reduction!r}")
        assert temperature != 0, "temperature may not be 0"
        tensors = layer(student_input, student_weight, None)
        out = cls.compute(
            ctx,
            "fused_linear_distillation",
            tensors | {"teacher": target, "labels": labels(shift_labels)},
            memory=(accum_dtype, budget_bytes),
            formula="kl",
            eps=float(eps),
            temperature=float(temperature),
            ignore_index=ignore_index,
        )
        # The library's is the mean over tokens that count.
        ctx.factor = 1.0
        if reduction == "mean":
            ctx.factor = 1 / student_weight.shape[0]
        elif reduction == "sum":
            counts = None if shift_labels is None else (shift_labels != ignore_index).sum()
            ctx.factor = student_input.shape[0] if counts is None else counts
        return out["loss"] * ctx.factor

    @staticmethod
    def backward(ctx, upstream):
        return LinearLossFunction.backward(ctx, None if upstream is None else upstream * ctx.factor)
