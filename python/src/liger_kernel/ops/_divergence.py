"""What the divergences between a student and a teacher share: the gradient comes with the loss."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.cross_entropy import _scaled
from liger_kernel.ops.cross_entropy import scale_
from liger_kernel.ops.cross_entropy import with_scales

# The loss in fp32, and the student's gradient for an upstream gradient of 1, in f16 with scales of its rows.
_divergence = operation("divergence")
_scaled_entries = operation("scaled_entries")


def forward(ctx, student, teacher, labels, options):
    """The loss, with what the backward pass needs kept in the context.

    options: formula, reduction as torch has it, ignored label, beta and eps.
    """
    formula, reduction, *numbers = options
    options = formula, "batchMean" if reduction == "batchmean" else reduction, *numbers
    needs = ctx.needs_input_grad[0]
    loss, *gradient = _divergence(student, teacher, labels, *options, needs, needs)
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
        has_scales = scales is not None and scales.numel() > 0
        scales = scales.view(*student.shape[:-1], 1) if has_scales else None
        return _scaled_entries(gradient, with_scales(upstream, scales))
    if kept:
        return _scaled(kept[0], with_scales(upstream, kept[1]))
    # The gradient is handed over once; a second pass through a retained graph computes it again.
    gradient, ctx.gradient = ctx.gradient, None
    if gradient is None:
        gradient = _divergence(student, teacher, labels, *ctx.options, True, True)[1:]
    return scale_(gradient[0], upstream, gradient[1])


def loss_and_gradient(student, teacher, labels, *options):
    """The loss and the student's gradient for an upstream gradient of 1, outside of autograd.

    options: formula, reduction as the library has it, ignored label, beta and eps.
    """
    return _divergence(student.detach(), teacher.detach(), labels, *options, True)[:2]


def scaled(gradient, upstream):
    """A gradient times the upstream gradient of its loss: one number, or one for each entry."""
    upstream = upstream.float()
    return _scaled(gradient, upstream) if upstream.numel() == 1 else _scaled_entries(gradient, upstream)
