"""Cross entropy with labels and total variation distance from a teacher, token by token, from both's logits."""

from liger_kernel._library import CheckFailedError
from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("cross_entropy_tvd_forward")
_backward = operation("cross_entropy_tvd_backward")


def fused_ce_tvd_forward(student_logits, teacher_logits, target, ignore_index):
    """Cross entropy and distance, both (N) in fp32, the logarithms of both's sums of exponentials, and the rows'
    statistics, which the backward pass reads."""
    _check(student_logits, teacher_logits, target)
    ce, tvd, statistics = _forward(student_logits, teacher_logits, target, ignore_index)
    m, s, n, t = statistics.unbind(1)
    return ce, tvd, m + s.log(), n + t.log(), statistics


def fused_ce_tvd_backward(
    grad_ce, grad_tvd, student_logits, teacher_logits, target, student_lse, teacher_lse, sigma, ignore_index
):
    """The student's gradient. sigma: the statistics, as the last of what the forward pass gave."""
    return _backward(
        grad_ce.float(), grad_tvd.float(), student_logits, teacher_logits, target, sigma, ignore_index
    )


def _check(student, teacher, target):
    if student.shape != teacher.shape:
        raise ValueError(
            f"student_logits and teacher_logits must have the same shape; found {tuple(student.shape)} and "
            f"{tuple(teacher.shape)}"
        )
    if student.dim() != 2:
        raise ValueError(f"student_logits and teacher_logits must be 2D, (N, V); found {tuple(student.shape)}")
    if target.shape != student.shape[:1]:
        raise ValueError(f"target must have shape ({student.shape[0]},); found {tuple(target.shape)}")


class LigerFusedCETVDFunction(Function):
    """(cross entropy, total variation distance), both (N) in fp32; an ignored token has 0 for both.

    student_logits, teacher_logits: (N, V); target: (N) class numbers. The teacher gets no gradient.
    """

    @staticmethod
    def forward(ctx, student_logits, teacher_logits, target, ignore_index=-100):
        _check(student_logits, teacher_logits, target)
        try:
            ce, tvd, statistics = _forward(student_logits, teacher_logits, target, ignore_index)
        except CheckFailedError as error:
            raise CheckFailedError(f"a target is out of bounds: {error}") from None
        ctx.save_for_backward(student_logits, teacher_logits, target, statistics)
        ctx.ignore_index = ignore_index
        return ce, tvd

    @staticmethod
    @first_order
    def backward(ctx, grad_ce, grad_tvd):
        return _backward(grad_ce.float(), grad_tvd.float(), *ctx.saved_tensors, ctx.ignore_index), None, None, None
