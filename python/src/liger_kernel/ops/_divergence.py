"""What the divergences between a student and a teacher share: the gradient comes with the loss."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.cross_entropy import _scaled
from liger_kernel.ops.cross_entropy import scale_


def _fake(student, teacher, labels, formula, reduction, ignore_index, beta, eps, needs_gradient):
    shape = student.shape if reduction == "none" else ()
    return student.new_empty(shape, dtype=torch.float32), student.new_empty(student.shape if needs_gradient else 0)


@primitive(
    "(Tensor student, Tensor teacher, Tensor? labels, str formula, str reduction, int ignore_index, float beta, "
    "float eps, bool needs_gradient) -> (Tensor, Tensor)",
    _fake,
)
def _divergence(student, teacher, labels, formula, reduction, ignore_index, beta, eps, needs_gradient):
    """The loss in fp32, and the student's gradient for an upstream gradient of 1: empty where not needed."""
    out = call(
        "divergence",
        {
            "student": student.contiguous(),
            "teacher": teacher.contiguous(),
            "labels": None if labels is None else labels.contiguous(),
        },
        formula=formula,
        reduction="batchMean" if reduction == "batchmean" else reduction,
        ignore_index=ignore_index,
        beta=beta,
        eps=eps,
        needs_gradient=needs_gradient,
    )
    return out["loss"], out.get("gradient", student.new_empty(0))


@primitive("(Tensor x, Tensor factor) -> Tensor", lambda x, factor: torch.empty_like(x))
def _scaled_entries(x, factor):
    """A copy of x, times an array of its shape."""
    x = x.clone()
    call("scale_entries", {"x": x, "factor": factor.contiguous()})
    return x


def forward(ctx, student, teacher, labels, options):
    """The loss, with what the backward pass needs kept in the context."""
    needs = ctx.needs_input_grad[0]
    loss, gradient = _divergence(student, teacher, labels, *options, needs)
    ctx.options, ctx.is_per_entry = options, options[1] == "none"
    ctx.compiled = is_compiling()
    kept = needs and (ctx.compiled or ctx.is_per_entry)
    ctx.gradient = None if kept or not needs else gradient
    ctx.save_for_backward(student, teacher, labels, gradient if kept else None)
    return loss


def backward(ctx, upstream):
    """The student's gradient."""
    student, teacher, labels, gradient = ctx.saved_tensors
    if gradient is not None:
        return (_scaled_entries if ctx.is_per_entry else _scaled)(gradient, upstream.float())
    # The gradient is handed over once; a second pass through a retained graph computes it again.
    gradient, ctx.gradient = ctx.gradient, None
    if gradient is None:
        gradient = _divergence(student, teacher, labels, *ctx.options, True)[1]
    return scale_(gradient, upstream)
