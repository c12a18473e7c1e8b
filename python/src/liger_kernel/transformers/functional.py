"""Operations as functions, with upstream's names."""

import importlib

from dataclasses import dataclass
from typing import Optional

import torch

from torch.nn._reduction import legacy_get_string as legacy_reduction

from liger_kernel import _exports
from liger_kernel.ops import LigerCrossEntropyFunction
from liger_kernel.ops import LigerDyTFunction
from liger_kernel.ops import LigerFusedAddRMSNormFunction
from liger_kernel.ops import LigerFusedLinearCrossEntropyFunction
from liger_kernel.ops import LigerGELUMulFunction
from liger_kernel.ops import LigerGroupNormFunction
from liger_kernel.ops import LigerJSDFunction
from liger_kernel.ops import LigerKLDivLossFunction
from liger_kernel.ops import LigerLayerNormFunction
from liger_kernel.ops import LigerQwen2VLMRopeFunction
from liger_kernel.ops import LigerReLUSquaredFunction
from liger_kernel.ops import LigerRopeFunction
from liger_kernel.ops import LigerSiLUMulFunction
from liger_kernel.ops import LigerSoftmaxFunction
from liger_kernel.ops import LigerTVDLossFunction
from liger_kernel.ops._primitive import is_compiling
from liger_kernel.ops.rms_norm import rms_norm
from liger_kernel.ops.utils import gathered
from liger_kernel.ops.utils import has_memory
from liger_kernel.ops.utils import tracked


def __getattr__(name):
    for package, modules in (("transformers", _exports.FUNCTIONS), ("ops", _exports.OPS), ("ops", _exports.LATE_OPS)):
        module = _exports.module_of(name, modules)
        if module is not None:
            return getattr(importlib.import_module(f"liger_kernel.{package}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass
class CrossEntropyOutput:
    """A loss with what was asked for with it."""

    loss: torch.Tensor
    z_loss: Optional[torch.Tensor] = None
    token_accuracy: Optional[torch.Tensor] = None
    predicted_tokens: Optional[torch.Tensor] = None


def cross_entropy_result(results, *asked):
    """The loss, or a CrossEntropyOutput with what was asked for of z-loss, accuracy and predictions."""
    if not any(asked):
        return results[0]
    return CrossEntropyOutput(results[0], *(r if is_asked else None for r, is_asked in zip(results[1:], asked)))


def liger_cross_entropy(
    input,
    target,
    weight=None,
    size_average=None,
    ignore_index: int = -100,
    reduce=None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    lse_square_scale: float = 0.0,
    softcap: Optional[float] = None,
    return_z_loss: bool = False,
    return_token_accuracy: bool = False,
    return_predicted_tokens: bool = False,
):
    """`torch.nn.functional.cross_entropy` with options of ours: the loss, or a CrossEntropyOutput.

    The kernel is for (N, V) logits with N class numbers. Other shapes, targets that are probabilities and types that
    kernels do not have are torch's own. `size_average` and `reduce` are torch's old names of a reduction.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    if input is None or target is None:
        raise TypeError(
            f"cross entropy needs {'logits' if input is None else 'a target'}; found None. A patched model that trains "
            "leaves its logits out where it is given labels: call it with skip_logits=False, or take its loss"
        )
    if not is_for_kernel(input, target):
        asked = {
            "lse_square_scale": lse_square_scale, "softcap": softcap is not None, "return_z_loss": return_z_loss,
            "return_token_accuracy": return_token_accuracy, "return_predicted_tokens": return_predicted_tokens,
        }  # fmt: skip
        if any(asked.values()):
            raise ValueError(
                f"{', '.join(name for name, value in asked.items() if value)}: only for (N, V) logits in fp32, bf16 or "
                f"fp16 with N class numbers; found {tuple(input.shape)} in {input.dtype} with {tuple(target.shape)} in "
                f"{target.dtype}"
            )
        return torch.nn.functional.cross_entropy(
            input, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )
    (input,) = tracked(input)
    results = LigerCrossEntropyFunction.apply(
        input, target, weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap, return_z_loss,
        return_token_accuracy, return_predicted_tokens,
    )  # fmt: skip
    return cross_entropy_result(results, return_z_loss, return_token_accuracy, return_predicted_tokens)


def is_for_kernel(logits, target) -> bool:
    """Whether the kernel of cross entropy is for these; it says itself what is wrong with others of its form."""
    if logits.dim() != 2 or target.dim() != 1 or logits.dtype not in KERNEL_TYPES:
        return False
    return target.dtype in (torch.int64, torch.int32) and (is_compiling() or has_memory(gathered(logits)))


KERNEL_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def liger_fused_linear_cross_entropy(
    input,
    weight,
    target,
    bias=None,
    ce_weight=None,
    ignore_index: int = -100,
    lse_square_scale: float = 0.0,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    softcap: Optional[float] = None,
    return_z_loss: bool = False,
    accum_dtype=None,
    use_token_scaling: bool = False,
    return_token_accuracy: bool = False,
    return_predicted_tokens: bool = False,
    chunk_mem_const: int = 1,
    budget_bytes: Optional[int] = None,
):
    """Cross entropy of `input @ weight.T + bias`: the loss, or a CrossEntropyOutput.

    accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this call.
    """
    input, weight, bias = tracked(input, weight, bias)
    results = LigerFusedLinearCrossEntropyFunction.apply(
        input, weight, target, bias, ce_weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap,
        return_z_loss, accum_dtype, use_token_scaling, return_token_accuracy, return_predicted_tokens, None, None,
        chunk_mem_const, budget_bytes,
    )  # fmt: skip
    return cross_entropy_result(results, return_z_loss, return_token_accuracy, return_predicted_tokens)


def liger_rms_norm(X, W, eps, offset: float = 0.0, casting_mode: str = "llama", in_place: bool = True):
    """x / sqrt(mean(x^2) + eps) * (W + offset) over the last dimension.

    X: (..., H), W: (H) or None. Returns y like X. casting_mode: as for `LigerRMSNorm`; `in_place` changes nothing.
    """
    return rms_norm(X, W, eps, offset, casting_mode)


def liger_layer_norm(X, W, B, eps):
    """(X - mean) / sqrt(var + eps) * W + B over the last dimension.

    X: (..., H), W and B: (H). Returns y like X.
    """
    return LigerLayerNormFunction.apply(X, W, B, eps)


def liger_swiglu(a, b):
    """silu(a) b; a and b of one shape and type, as is the result."""
    return LigerSiLUMulFunction.apply(a, b)


def liger_geglu(a, b):
    """gelu(a) b with the tanh form; a and b of one shape and type, as is the result."""
    return LigerGELUMulFunction.apply(a, b)


def liger_rope(q, k, cos, sin, position_ids=None, unsqueeze_dim=1, rotary_dim=None):
    """Rotated q (B, Hq, S, D) and k (B, Hk, S, D); arguments as for `liger_rotary_pos_emb`."""
    return LigerRopeFunction.apply(q, k, cos, sin, position_ids, unsqueeze_dim, rotary_dim)


def liger_softmax(x):
    """Softmax over the last dimension of (..., V), in fp32; the result is like x."""
    return LigerSoftmaxFunction.apply(x)


def liger_fused_add_rms_norm(X, R, W, eps, offset: float = 0.0, casting_mode: str = "llama", in_place: bool = True):
    """(RMSNorm(s), s) with s = X + R. X and R: (..., H), W: (H); both results are like X."""
    return LigerFusedAddRMSNormFunction.apply(X, R, W, eps, offset, casting_mode, in_place)


def liger_group_norm(X, affine_scaling_weight, affine_shifting_bias, num_channels, num_groups, eps):
    """Group normalisation of (B, num_channels, ...); weight and bias: (num_channels). The result is like X."""
    return LigerGroupNormFunction.apply(
        X, affine_scaling_weight, affine_shifting_bias, num_channels, num_groups, eps
    )


def liger_qwen2vl_mrope(q, k, cos, sin, mrope_section, unsqueeze_dim=1):
    """Rotated q and k, sections of a head by a token's time, height and width.

    q: (B, Hq, S, D), k: (B, Hk, S, D), cos and sin: (3, B, S, D). mrope_section: the sections' lengths, D / 2 in all.
    """
    return LigerQwen2VLMRopeFunction.apply(q, k, cos, sin, mrope_section, unsqueeze_dim)


def liger_relu_squared(x):
    """max(x, 0)^2 of any shape."""
    return LigerReLUSquaredFunction.apply(x)


def liger_dyt(x, alpha, gamma, beta):
    """gamma * tanh(alpha * x) + beta. x: (..., H), alpha: (1), gamma: (H), beta: (H) or None."""
    return LigerDyTFunction.apply(x, alpha, gamma, beta)


def liger_kl_div(
    input, target, size_average: bool = True, reduce: bool = True, reduction: str = "mean", log_target: bool = False,
    eps: float = 1e-10,
):  # fmt: skip
    """Kullback-Leibler divergence of log-probabilities from a target.

    input: (N, V) log-probabilities; target: (N, V) probabilities, or their logarithms with `log_target`. In fp32.
    `size_average` and `reduce` are torch's old names of a reduction where one is False. Raises ValueError for a
    reduction other than "none", "sum", "mean" and "batchmean".
    """
    if size_average is False or reduce is False:
        reduction = legacy_reduction(size_average, reduce)
    return LigerKLDivLossFunction.apply(input, target, reduction, log_target, eps)


def liger_jsd(input, target, shift_labels=None, beta: float = 0.5, ignore_index: int = -100):
    """Generalised Jensen-Shannon divergence of log-probabilities.

    input (the student's) and target (the teacher's): (N, V); shift_labels: (N), whose `ignore_index` leaves rows out.
    beta: 0 is the divergence of the teacher from the student, 1 the reverse.
    """
    return LigerJSDFunction.apply(input, target, shift_labels, beta, ignore_index)


def liger_fused_linear_jsd(
    student_input, student_weight, teacher_input, teacher_weight, shift_labels=None, jsd_beta: float = 0.5,
    ignore_index: int = -100, temperature: float = 1.0, accum_dtype=None,
):  # fmt: skip
    """Generalised Jensen-Shannon divergence of two linear layers' logits.

    student_input: (N, H), student_weight: (V, H), and the teacher's with an H of its own; shift_labels: (N). Gradients
    are of the student's.
    """
    from liger_kernel.ops.fused_linear_jsd import LigerFusedLinearJSDFunction

    return LigerFusedLinearJSDFunction.apply(
        student_input, student_weight, teacher_input, teacher_weight, shift_labels, jsd_beta, ignore_index,
        temperature, accum_dtype,
    )  # fmt: skip


def liger_fused_linear_kl_div(
    student_input, student_weight, target, shift_labels=None, reduction: str = "batchmean", ignore_index: int = -100,
    temperature: float = 1.0, eps: float = 1e-10, accum_dtype=None,
):  # fmt: skip
    """Kullback-Leibler divergence of a linear layer's softmax from probabilities.

    student_input: (N, H), student_weight: (V, H), target: (N, V) probabilities; shift_labels: (N).
    """
    from liger_kernel.ops.fused_linear_kl_div import LigerFusedLinearKLDivFunction

    return LigerFusedLinearKLDivFunction.apply(
        student_input, student_weight, target, shift_labels, reduction, ignore_index, temperature, eps, accum_dtype
    )


def liger_fused_linear_scaled_cross_entropy(
    input, weight, target, temperature: float = 1.0, ignore_index: int = -100, return_entropy: bool = False,
    selected_token_ids=None,
):  # fmt: skip
    """Each token's negative log-likelihood; with its entropy, and log-probabilities of some classes, on request.

    input: (N, H), weight: (V, H), target: (N), selected_token_ids: (K). Results are fp32: (N), (N) and (N, K).
    """
    from liger_kernel.ops.fused_linear_scaled_cross_entropy import LigerFusedLinearScaledCrossEntropyFunction

    return LigerFusedLinearScaledCrossEntropyFunction.apply(
        input, weight, target, temperature, ignore_index, 1, return_entropy, selected_token_ids
    )


def liger_fused_linear_score_centering(
    _input, weight, selected_token_ids, attention_mask, advantages, sampler_token_logps, sampler_topk_ids,
    sampler_topk_logps, bias=None, score_center: bool = True, correction=None, temperature: float = 1.0,
    eps: float = 1e-6, num_items_in_batch=None, chunk_size=None,
):  # fmt: skip
    """(loss, metrics by name) of sampled tokens' policy gradient less the expected score under a linear layer."""
    from liger_kernel.ops.fused_linear_score_centering import fused_linear_score_centering

    return fused_linear_score_centering(
        _input, weight, selected_token_ids, attention_mask, advantages, sampler_token_logps, sampler_topk_ids,
        sampler_topk_logps, bias, score_center, correction, temperature, eps, num_items_in_batch, chunk_size,
    )  # fmt: skip


def liger_fused_linear_scaled_cross_entropy_tp(
    input, weight, target, tp_group, temperature: float = 1.0, ignore_index: int = -100, tiles_per_reduce: int = 1,
    return_entropy: bool = False,
):  # fmt: skip
    """Each token's negative log-likelihood, and on request its entropy, of a weight whose rows ranks share."""
    from liger_kernel.ops.fused_linear_scaled_cross_entropy import LigerFusedLinearScaledCrossEntropyTPFunction

    return LigerFusedLinearScaledCrossEntropyTPFunction.apply(
        input, weight, target, tp_group, temperature, ignore_index, tiles_per_reduce, return_entropy
    )


def liger_tvd(input, target, shift_labels=None, reduction: str = "mean", ignore_index: int = -100):
    """Total variation distance of probabilities. input and target: (N, V); shift_labels: (N). In fp32."""
    return LigerTVDLossFunction.apply(input, target, shift_labels, reduction, ignore_index)
