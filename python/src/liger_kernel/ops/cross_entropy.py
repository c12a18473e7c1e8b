"""Cross entropy of logits, with label smoothing, z-loss, softcap and class weights."""

import torch

from liger_kernel._call import lying_runner
from liger_kernel._library import CheckFailedError
from liger_kernel._operation import eager
from liger_kernel._operation import operation
from liger_kernel.ops._primitive import COMPILES_NO_NONE
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.utils import gathered

ACCURACY, ARGMAX, GRADIENT, SCALE = 1, 2, 4, 8

_run = operation("cross_entropy")
_scaled = operation("scaled_rows")
_scale_rows = eager("scale_rows", lying_runner, strided=True)


def wanted(return_token_accuracy, return_predicted_tokens, gradient=False):
    """The bits of what to compute in addition to the loss."""
    return ACCURACY * return_token_accuracy + ARGMAX * return_predicted_tokens + GRADIENT * gradient


def check_options(reduction, flags):
    """Raises AssertionError or ValueError for options that have no meaning."""
    for name, value in flags.items():
        assert isinstance(value, bool), f"{name} must be True or False; found {value!r}"
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none'; found {reduction!r}")


def check_class_weights(weight, classes):
    """Raises AssertionError unless there is a floating-point weight per class."""
    if weight is not None:
        assert weight.shape[0] == classes, f"weight must have size {classes}, a number a class; found {weight.shape}"
        assert torch.is_floating_point(weight), f"weight must be floating point; found {weight.dtype}"


def of_logits(
    logits, labels, weight, ignore_index, z_loss, smoothing, reduction, softcap, wants, wants_z_loss, upstream
):
    """loss, z-loss, accuracy, predicted classes, gradient and its scale; None or empty where not wanted or needed."""
    try:
        loss, z, accuracy, argmax, *gradient = _run(
            logits, labels, weight, None, upstream, ignore_index, z_loss, smoothing, reduction, softcap, wants,
            wants_z_loss,
        )  # fmt: skip
    except CheckFailedError as error:
        raise CheckFailedError(f"a target is out of bounds: {error}") from None
    if wants_z_loss and z_loss == 0:
        z = torch.zeros_like(loss)
    return loss, z, accuracy, argmax.long() if wants & ARGMAX else argmax, *gradient


def scale_(x, factor, scales=None):
    """x itself, times one number, or one per row, on the device; nothing is moved where that is 1.

    scales: further numbers, one or one per row, or nothing.
    """
    _scale_rows(x, with_scales(factor, scales).contiguous())
    return x


def with_scales(upstream, scales):
    """An upstream gradient in fp32, times the scales of an f16 gradient, if there are any.

    What comes with a loss is for an upstream gradient of 1, where f16 has lost what a loss scale would have saved. So
    its rows are stored over scales, which meet the upstream gradient here before anything is rounded again.
    """
    upstream = upstream.float()
    return upstream if scales is None or scales.numel() == 0 else upstream * scales


def cross_entropy_forward(
    _input, target, weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap, return_z_loss,
    return_token_accuracy=False, return_predicted_tokens=False,
):  # fmt: skip
    """loss, z-loss, accuracy, predicted classes (None where not asked for) and the logits' gradient."""
    out = of_logits(
        _input, target, weight, ignore_index, float(lse_square_scale), float(label_smoothing), reduction, softcap,
        wanted(return_token_accuracy, return_predicted_tokens, _input.requires_grad), return_z_loss, None,
    )  # fmt: skip
    return _named(out, return_z_loss, return_token_accuracy, return_predicted_tokens) + (out[4],)


def cross_entropy_backward(_input, grad_output):
    """A gradient times the loss's upstream gradient, into the gradient itself."""
    return scale_(_input, grad_output)


def _named(out, z_loss, accuracy, predicted):
    """The four results, None where not asked for; under an old compiler, which has no None, something empty."""
    if COMPILES_NO_NONE and is_compiling():
        return tuple(out[:4])
    return out[0], out[1] if z_loss else None, out[2] if accuracy else None, out[3] if predicted else None


class LigerCrossEntropyFunction(Function):
    """Cross entropy of (N, V) logits with N class numbers; always gives (loss, z-loss, accuracy, predicted).

    The gradient for an upstream gradient of 1 is computed with the loss, and scaled in the backward pass. The
    logits stay as they are.
    """

    @staticmethod
    def forward(
        ctx, _input, target, weight, ignore_index=-100, lse_square_scale=0.0, label_smoothing=0.0, reduction="mean",
        softcap=None, return_z_loss=False, return_token_accuracy=False, return_predicted_tokens=False,
    ):  # fmt: skip
        _input = gathered(_input)
        check_options(
            reduction,
            {
                "return_z_loss": return_z_loss,
                "return_token_accuracy": return_token_accuracy,
                "return_predicted_tokens": return_predicted_tokens,
            },
        )
        check_class_weights(weight, _input.shape[-1])
        wants = wanted(return_token_accuracy, return_predicted_tokens)
        ctx.options = (
            ignore_index, float(lse_square_scale), float(label_smoothing), reduction,
            None if softcap is None else float(softcap),
        )  # fmt: skip
        # Without reduction every row has its own upstream gradient, which is not known yet.
        is_early = ctx.needs_input_grad[0] and reduction != "none"
        out = of_logits(
            _input, target, weight, *ctx.options, wants | (GRADIENT | SCALE) * is_early, return_z_loss, None
        )
        gradient = out[4:] if is_early else None
        ctx.compiled = is_compiling()
        ctx.gradient = None if ctx.compiled else gradient
        ctx.save_for_backward(_input, target, weight, *(gradient if ctx.compiled and is_early else ()))
        results = _named(out, return_z_loss, return_token_accuracy, return_predicted_tokens)
        ctx.mark_non_differentiable(*[r for r in results[1:] if r is not None])
        return results

    @staticmethod
    @first_order
    def backward(ctx, grad_output, grad_output2, grad_output3, grad_output4):
        _input, target, weight, *kept = ctx.saved_tensors
        if kept:
            return _scaled(kept[0], with_scales(grad_output, kept[1])), *(None,) * 10
        # The gradient is handed over once; a second pass through a retained graph computes it again.
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            upstream = grad_output.float().contiguous() if ctx.options[3] == "none" else None
            wants = GRADIENT | SCALE if upstream is None else GRADIENT
            gradient = of_logits(_input, target, weight, *ctx.options, wants, False, upstream)[4:]
            if upstream is not None:
                return gradient[0], *(None,) * 10
        return scale_(gradient[0], grad_output, gradient[1]), *(None,) * 10
