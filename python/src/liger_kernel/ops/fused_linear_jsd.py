"""Jensen-Shannon divergence of two linear layers' logits, chunk by chunk of tokens."""

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer


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
        assert temperature != 0, "temperature may not be 0"
        count = student_input.shape[0]
        assert shift_labels is None or shift_labels.shape == (count,), (
            f"the shape of shift_labels must be (BT,), got: {shift_labels.shape}"
        )
        tensors = layer(student_input, student_weight, None) | layer(teacher_input, teacher_weight, None, "teacher_")
        out = cls.compute(
            ctx,
            "fused_linear_distillation",
            tensors | {"labels": labels(shift_labels)},
            formula="jsd",
            beta=float(jsd_beta),
            temperature=float(temperature),
            ignore_index=ignore_index,
            memory=(accum_dtype, budget_bytes),
        )
        return out["loss"]
