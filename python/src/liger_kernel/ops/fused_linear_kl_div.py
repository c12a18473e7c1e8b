"""Kullback-Leibler divergence of a linear layer's softmax from a teacher's probabilities, chunk by chunk of tokens."""

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import loss_and_gradients
from liger_kernel.ops._linear_loss import scaled_gradients


def fused_linear_kl_div_forward(
    student_input, student_weight, target, shift_labels, reduction, ignore_index, has_label, temperature, eps,
    accum_dtype=None,
):  # fmt: skip
    """The loss, and the gradients of the student's input and, where it requires one, weight for an upstream gradient of
    1.

    has_label: whether `shift_labels` counts; without it all rows do. The rest: as for `LigerFusedLinearKLDivFunction`.
    """
    counted = shift_labels if has_label else None
    tensors, options = _prepared(student_input, student_weight, target, counted, ignore_index, temperature, eps)
    factor = _factor(reduction, student_weight, target, counted, ignore_index)
    factor = None if reduction == "batchmean" else factor
    return loss_and_gradients(_OPERATION, tensors, student_weight.requires_grad, accum_dtype, factor, **options)


def fused_linear_kl_div_backward(grad_output, grad_input, grad_weight):
    """The gradients times the loss's upstream gradient, into themselves."""
    return scaled_gradients(grad_output, grad_input, grad_weight)


_OPERATION = "fused_linear_distillation"


def _prepared(student_input, student_weight, target, shift_labels, ignore_index, temperature, eps):
    """The operation's tensors and options."""
    assert temperature != 0, "temperature may not be 0"
    assert shift_labels is None or shift_labels.shape == (student_input.shape[0],), (
        f"the shape of shift_labels must be (BT,), got: {shift_labels.shape}"
    )
    tensors = layer(student_input, student_weight, None) | {"teacher": target, "labels": labels(shift_labels)}
    options = {"formula": "kl", "eps": float(eps), "temperature": float(temperature), "ignore_index": ignore_index}
    return tensors, options


def _factor(reduction, weight, target, shift_labels, ignore_index):
    """What the mean over tokens that count, the library's loss, has to be multiplied by."""
    if reduction not in ("batchmean", "mean", "sum"):
        raise ValueError(f"reduction must be one of 'batchmean', 'mean' and 'sum'; found {reduction!r}")
    if reduction != "sum":
        return 1 / weight.shape[0] if reduction == "mean" else 1.0
    return target.shape[0] if shift_labels is None else (shift_labels != ignore_index).sum()


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
        ctx.factor = _factor(reduction, student_weight, target, shift_labels, ignore_index)
        tensors, options = _prepared(
            student_input, student_weight, target, shift_labels, ignore_index, temperature, eps
        )
        out = cls.compute(ctx, _OPERATION, tensors, memory=(accum_dtype, budget_bytes), **options)
        return out["loss"] * ctx.factor

    @staticmethod
    def backward(ctx, upstream):
        return LinearLossFunction.backward(ctx, None if upstream is None else upstream * ctx.factor)
