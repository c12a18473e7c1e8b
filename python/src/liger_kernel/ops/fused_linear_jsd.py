"""Jensen-Shannon divergence of two linear layers' logits, chunk by chunk of tokens."""

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import loss_and_gradients
from liger_kernel.ops._linear_loss import scaled_gradients


def fused_linear_jsd_forward(
    student_input, student_weight, teacher_input, teacher_weight, shift_labels, jsd_beta, ignore_index, has_label,
    temperature, jsd_impl=None, jsd_mode=None, accum_dtype=None,
):  # fmt: skip
    """The loss, and the gradients of the student's input and, where it requires one, weight for an upstream gradient of
    1.

    has_label: whether `shift_labels` counts; without it all rows do. The rest: as for `LigerFusedLinearJSDFunction`.
    """
    tensors, options = _prepared(
        student_input, student_weight, teacher_input, teacher_weight, shift_labels if has_label else None, jsd_beta,
        ignore_index, temperature,
    )  # fmt: skip
    return loss_and_gradients(_OPERATION, tensors, student_weight.requires_grad, accum_dtype, **options)


def fused_linear_jsd_backward(grad_output, grad_input, grad_weight):
    """The gradients times the loss's upstream gradient, into themselves."""
    return scaled_gradients(grad_output, grad_input, grad_weight)


_OPERATION = "fused_linear_distillation"


def _prepared(
    student_input, student_weight, teacher_input, teacher_weight, shift_labels, jsd_beta, ignore_index, temperature
):
    """The operation's tensors and options."""
    assert temperature != 0, "temperature may not be 0"
    assert shift_labels is None or shift_labels.shape == (student_input.shape[0],), (
        f"the shape of shift_labels must be (BT,), got: {shift_labels.shape}"
    )
    tensors = layer(student_input, student_weight, None) | layer(teacher_input, teacher_weight, None, "teacher_")
    options = {
        "formula": "jsd", "beta": float(jsd_beta), "temperature": float(temperature), "ignore_index": ignore_index,
    }  # fmt: skip
    return tensors | {"labels": labels(shift_labels)}, options


class LigerFusedLinearJSDFunction(LinearLossFunction):
    """The divergence of softmax(student / temperature) and softmax(teacher / temperature), a mean over tokens.

    student_input: (N, Hs), student_weight: (V, Hs), teacher_input: (N, Ht), teacher_weight: (V, Ht), shift_labels:
    (N) or None; tokens whose label is `ignore_index` do not count. The loss is fp32, gradients are the student's.
    Weight gradients are summed over chunks in fp32 unless `accum_dtype` is the weight's type; a chunk's logits of both
    take at most `budget_bytes`.
    """

    @classmethod
    def forward(
        cls, ctx, student_input, student_weight, teacher_input, teacher_weight, shift_labels=None, jsd_beta=0.5,
        ignore_index=-100, temperature=1.0, accum_dtype=None, jsd_impl=None, jsd_mode=None, budget_bytes=None,
    ):  # fmt: skip
        tensors, options = _prepared(
            student_input, student_weight, teacher_input, teacher_weight, shift_labels, jsd_beta, ignore_index,
            temperature,
        )  # fmt: skip
        return cls.compute(ctx, _OPERATION, tensors, memory=(accum_dtype, budget_bytes), **options)["loss"]
