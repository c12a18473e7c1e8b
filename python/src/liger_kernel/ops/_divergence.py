"""What the divergences between a student and a teacher share: the gradient comes with the loss."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops._primitive import primitive
from liger_kernel.ops.cross_entropy import _scaled
from liger_kernel.ops.cross_entropy import scale_
from liger_kernel.ops.cross_entropy import with_scales


def _fake(student, teacher, labels, formula, reduction, ignore_index, beta, eps, needs_gradient):
    shape = student.shape if reduction == "none" else ()
    has_scales = needs_gradient and student.dtype == torch.float16
    return (
        student.new_empty(shape, dtype=torch.float32),
        student.new_empty(student.shape if needs_gradient else 0),
        student.new_empty(student.numel() // student.shape[-1] if has_scales else 0, dtype=torch.float32),
    )


@primitive(
    "(Tensor student, Tensor teacher, Tensor? labels, str formula, str reduction, int ignore_index, float beta, "
    "float eps, bool needs_gradient) -> (Tensor, Tensor, Tensor)",
    _fake,
)
def _divergence(student, teacher, labels, formula, reduction, ignore_index, beta, eps, needs_gradient):
    """The loss in fp32, and the student's gradient for an upstream gradient of 1, with scales of its rows in f16.

    What is not needed is empty.
    """
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
        needs_scales=needs_gradient,
    )
    gradient, scales = out.get("gradient"), out.get("gradient_scales")
    if gradient is None:
        gradient = student.new_empty(0)
    return out["loss"], gradient, student.new_empty(0, dtype=torch.float32) if scales is None else scales


@primitive("(Tensor x, Tensor factor) -> Tensor", lambda x, factor: torch.empty_like(x))
def _scaled_entries(x, factor):
    """A copy of x, times an array of its shape."""
    x = x.clone()
    call("scale_entries", {"x": x, "factor": factor.contiguous()})
    return x


def forward(ctx, student, teacher, labels, options):
    """The loss, with what the backward pass needs kept in the context."""
    needs = ctx.needs_input_grad[0]
    loss, *gradient = _divergence(student, teacher, labels, *options, needs)
    ctx.options, ctx.is_per_entry = options, options[1] == "none"
    ctx.compiled = is_compiling()
    kept = needs and (ctx.compiled or ctx.is_per_entry)
    ctx.gradient = None if kept or not needs else gradient
    ctx.save_for_backward(student, teacher, labels, *(gradient if kept else ()))
    return loss


def backward(ctx, upstream):
    """The student's gradient."""
    student, teacher, labels, *kept = ctx.saved_tensors
    if kept and ctx.is_per_entry:
        gradient, scales = kept
        # A row's for each of its entries.
        scales = scales.view(*student.shape[:-1], 1) if scales.numel() > 0 else None
        return _scaled_entries(gradient, with_scales(upstream, scales))
    if kept:
        return _scaled(kept[0], with_scales(upstream, kept[1]))
    # The gradient is handed over once; a second pass through a retained graph computes it again.
    gradient, ctx.gradient = ctx.gradient, None
    if gradient is None:
        gradient = _divergence(student, teacher, labels, *ctx.options, True)[1:]
    return scale_(gradient[0], upstream, gradient[1])
