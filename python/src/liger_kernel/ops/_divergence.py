"""What the divergences between a student and a teacher share: the gradient comes with the loss."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.cross_entropy import _scaled
from liger_kernel.ops.cross_entropy import scale_

# The loss in fp32, and the student's gradient for an upstream gradient of 1.
_divergence = operation("divergence")
_scaled_entries = operation("scaled_entries")


def forward(ctx, student, teacher, labels, options):
    """The loss, with what the backward pass needs kept in the context.

    options: formula, reduction as torch has it, ignored label, beta and eps.
    """
    formula, reduction, *numbers = options
    options = formula, "batchMean" if reduction == "batchmean" else reduction, *numbers
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


def loss_and_gradient(student, teacher, labels, *options):
    """The loss and the student's gradient for an upstream gradient of 1, outside of autograd.

    options: formula, reduction as the library has it, ignored label, beta and eps.
    """
    return _divergence(student.detach(), teacher.detach(), labels, *options, True)


def scaled(gradient, upstream):
    """A gradient times the upstream gradient of its loss: one number, or one for each entry."""
    upstream = upstream.float()
    return _scaled(gradient, upstream) if upstream.numel() == 1 else _scaled_entries(gradient, upstream)
