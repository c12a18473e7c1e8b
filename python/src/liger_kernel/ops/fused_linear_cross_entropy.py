"""Cross entropy of a linear layer's logits, chunk by chunk of tokens: whole logits never exist."""

import torch

from liger_kernel._library import CheckFailedError
from liger_kernel._operation import operation
from liger_kernel.ops._memory import budget as _budget_of
from liger_kernel.ops._memory import bytes_of_logits
from liger_kernel.ops._memory import sums_exactly
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.cross_entropy import ARGMAX
from liger_kernel.ops.cross_entropy import _named
from liger_kernel.ops.cross_entropy import _scaled
from liger_kernel.ops.cross_entropy import check_class_weights
from liger_kernel.ops.cross_entropy import check_options
from liger_kernel.ops.cross_entropy import scale_
from liger_kernel.ops.cross_entropy import wanted
from liger_kernel.ops.cross_entropy import with_scales
from liger_kernel.ops.utils import autocast_dtype
from liger_kernel.ops.utils import gathered

_CHUNK_MEM_CONST = 1
_INPUT, _WEIGHT, _BIAS, _SCALES = 1, 2, 4, 8


_run = operation("fused_linear_cross_entropy")


def _fused_linear_cross_entropy(
    input, weight, labels, bias, class_weights, ignore_index, z_loss, smoothing, reduction, softcap, scaling,
    exact, budget, wants, wants_z_loss, needs, upstream,
):  # fmt: skip
    """loss, z-loss, accuracy, predicted classes, gradients of input, weight and bias, and the scales of these in f16.

    None or empty for what is not wanted or needed.
    """
    try:
        loss, z, accuracy, argmax, *gradients = _run(
            input, weight, bias, labels, class_weights, None, upstream, ignore_index, z_loss, smoothing, reduction,
            softcap, wants, wants_z_loss, scaling, "exact" if exact else "storage", budget or None, needs,
        )  # fmt: skip
    except CheckFailedError as error:
        raise CheckFailedError(f"a target is out of bounds: {error}") from None
    if wants_z_loss and z_loss == 0:
        z = torch.zeros_like(loss, dtype=input.dtype)
    return loss, z, accuracy, argmax.long() if wants & ARGMAX else argmax, *gradients


def _budget(tokens, weight, chunk_mem_const, budget_bytes=None):
    """Bytes for a chunk's logits; 0, the library's choice, where nothing was asked for."""
    return _budget_of(budget_bytes, _chunk_bytes(tokens, weight, chunk_mem_const)) or 0


def _chunk_bytes(tokens, weight, chunk_mem_const):
    """Bytes of the logits of upstream's chunks; None where its constant is 1."""
    if not isinstance(chunk_mem_const, int) or chunk_mem_const < 1:
        raise ValueError(f"chunk_mem_const must be a whole number of at least 1; found {chunk_mem_const!r}")
    if chunk_mem_const == _CHUNK_MEM_CONST:
        return None
    vocabulary, hidden = weight.shape
    pieces = -(-vocabulary // (chunk_mem_const * hidden))
    chunk = 1 << max(0, (-(-tokens // pieces) - 1).bit_length())
    return bytes_of_logits(weight) * vocabulary * max(1, min(chunk, tokens))


def _to_autocast(*tensors):
    """Tensors in autocast's type where that is on, as torch does with a linear layer's."""
    dtype = autocast_dtype(tensors[0].device.type)
    if dtype is None:
        return tensors
    return tuple(None if t is None else t.to(dtype) for t in tensors)


def fused_linear_cross_entropy_forward(
    _input, weight, target, ce_weight=None, bias=None, ignore_index=-100, lse_square_scale=0.0, label_smoothing=0.0,
    reduction="mean", softcap=None, return_z_loss=False, accum_dtype=None, use_token_scaling=False,
    return_token_accuracy=False, return_predicted_tokens=False, ce_impl=None, ce_mode=None, token_grad_output=None,
    compute_gradients=None, weight_requires_grad=None, chunk_mem_const=_CHUNK_MEM_CONST, budget_bytes=None,
):  # fmt: skip
    """loss, z-loss, accuracy, predicted classes, and gradients of input, weight and bias (None where not needed)."""
    needs_gradients = _input.requires_grad if compute_gradients is None else compute_gradients
    needs_weight = weight.requires_grad if weight_requires_grad is None else weight_requires_grad
    needs = (_INPUT + _WEIGHT * needs_weight + _BIAS * (bias is not None)) if needs_gradients else 0
    upstream = None if token_grad_output is None else token_grad_output.float()
    options = _options(
        _input, weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap, use_token_scaling,
        accum_dtype, chunk_mem_const, budget_bytes,
    )  # fmt: skip
    wants = wanted(return_token_accuracy, return_predicted_tokens)
    out = _fused_linear_cross_entropy(
        _input, weight, target, bias, ce_weight, *options, wants, return_z_loss, needs, upstream
    )
    gradients = [g if needs & bit else None for g, bit in zip(out[4:7], (_INPUT, _WEIGHT, _BIAS))]
    return *_named(out, return_z_loss, return_token_accuracy, return_predicted_tokens), *gradients


def fused_linear_cross_entropy_backward(grad_output, grad_input, grad_weight, grad_bias):
    """The gradients times the loss's upstream gradient, into themselves."""
    for gradient in (grad_input, grad_weight, grad_bias):
        if gradient is not None:
            scale_(gradient, grad_output)
    return grad_input, grad_weight, grad_bias


def _options(
    input, weight, ignore_index, z_loss, smoothing, reduction, softcap, scaling, accum_dtype, chunk_mem_const,
    budget_bytes,
):  # fmt: skip
    return (
        ignore_index, float(z_loss), float(smoothing), reduction, None if softcap is None else float(softcap),
        scaling, sums_exactly(accum_dtype, weight), _budget(input.shape[0], weight, chunk_mem_const, budget_bytes),
    )  # fmt: skip


class LigerFusedLinearCrossEntropyFunction(Function):
    """Cross entropy of `_input @ weight.T + bias`; always gives (loss, z-loss, accuracy, predicted).

    _input: (N, H), weight: (V, H), target: (N). Gradients for an upstream gradient of 1 are computed with the
    loss and scaled in the backward pass; without reduction they are computed there. Weight gradients are summed
    over chunks in fp32 unless `accum_dtype` is the weight's type; a chunk's logits take at most `budget_bytes`.
    Distributed tensors are taken as whole ones, and have their gradients distributed as they are.
    """

    @classmethod
    def apply(cls, _input, weight, target, bias=None, ce_weight=None, *options):
        # Before the Function, so that autograd distributes gradients.
        tensors = map(gathered, (_input, weight, target, bias, ce_weight))
        return super().apply(*tensors, *options)

    @staticmethod
    def forward(
        ctx, _input, weight, target, bias=None, ce_weight=None, ignore_index=-100, lse_square_scale=0.0,
        label_smoothing=0.0, reduction="mean", softcap=None, return_z_loss=False, accum_dtype=None,
        use_token_scaling=False, return_token_accuracy=False, return_predicted_tokens=False, ce_impl=None,
        ce_mode=None, chunk_mem_const=_CHUNK_MEM_CONST, budget_bytes=None,
    ):  # fmt: skip
        check_options(reduction, {})
        check_class_weights(ce_weight, weight.shape[0])
        _input, weight, bias = _to_autocast(_input, weight, bias)
        options = _options(
            _input, weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap, use_token_scaling,
            accum_dtype, chunk_mem_const, budget_bytes,
        )  # fmt: skip
        needed = ctx.needs_input_grad
        ctx.needs = _INPUT * needed[0] + _WEIGHT * needed[1] + _BIAS * (bias is not None and needed[3])
        ctx.options, ctx.reduction = options, reduction
        early = ctx.needs | _SCALES if ctx.needs and reduction != "none" else 0
        out = _fused_linear_cross_entropy(
            _input, weight, target, bias, ce_weight, *options,
            wanted(return_token_accuracy, return_predicted_tokens), return_z_loss, early, None,
        )  # fmt: skip
        gradients = out[4:] if early else None
        ctx.compiled = is_compiling()
        ctx.gradients = None if ctx.compiled else gradients
        kept = gradients if ctx.compiled and gradients is not None else ()
        ctx.save_for_backward(_input, weight, target, bias, ce_weight, *kept)
        results = _named(out, return_z_loss, return_token_accuracy, return_predicted_tokens)
        ctx.mark_non_differentiable(*[r for r in results[1:] if r is not None])
        return results

    @staticmethod
    @first_order
    def backward(ctx, grad_output, grad_output2, grad_output3, grad_output4):
        _input, weight, target, bias, ce_weight, *kept = ctx.saved_tensors
        bits = (_INPUT, _WEIGHT, _BIAS)
        if kept:
            gradients = [
                _scaled(g, with_scales(grad_output, s)) if ctx.needs & bit else None
                for g, s, bit in zip(kept[:3], kept[3:], bits)
            ]
        else:
            # Gradients are handed over once; a second pass through a retained graph computes them again.
            gradients, ctx.gradients = ctx.gradients, None
            upstream = grad_output.float().contiguous() if ctx.reduction == "none" else None
            if gradients is None:
                needs = ctx.needs | _SCALES if upstream is None else ctx.needs
                gradients = _fused_linear_cross_entropy(
                    _input, weight, target, bias, ce_weight, *ctx.options, 0, False, needs, upstream
                )[4:]
            scales = gradients[3:]
            gradients = [g if ctx.needs & bit else None for g, bit in zip(gradients, bits)]
            if upstream is None:
                gradients = [None if g is None else scale_(g, grad_output, s) for g, s in zip(gradients, scales)]
        return gradients[0], gradients[1], None, gradients[2], *(None,) * 15
