"""Operations as functions that take an implementation by name: this package's is "swift", others can register theirs.

`impl` (or `backend`, its older name) is a registered name, or one of upstream's, for which "swift" stands in; `mode`
is None, "default", or what another implementation takes. See `liger_kernel.backends.dispatch` for what runs otherwise.
"""

import functools
import inspect

from liger_kernel.backends import SWIFT
from liger_kernel.backends import Capability
from liger_kernel.backends import declare_op_locations  # noqa: F401  (where others look for it)
from liger_kernel.backends import dispatch
from liger_kernel.backends import register_impl
from liger_kernel.backends.dispatch import check_mode
from liger_kernel.ops.chunks import cross_entropy_loss_and_grad
from liger_kernel.ops.chunks import jsd_loss_and_grad
from liger_kernel.ops.chunks import kl_loss_and_grad
from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction
from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction
from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction
from liger_kernel.ops.geglu import LigerGELUMulFunction
from liger_kernel.ops.jsd import LigerJSDFunction
from liger_kernel.ops.kl_div import LigerKLDivLossFunction
from liger_kernel.ops.layer_norm import LigerLayerNormFunction
from liger_kernel.ops.rope import LigerRopeFunction
from liger_kernel.ops.softmax import LigerSoftmaxFunction
from liger_kernel.ops.swiglu import LigerSiLUMulFunction

__all__ = [
    "cross_entropy", "fused_add_rms_norm", "fused_linear_cross_entropy", "fused_linear_jsd", "geglu", "jsd", "kl_div",
    "layer_norm", "rms_norm", "rope", "softmax", "swiglu",
]  # fmt: skip


_MODES = ("default",)


class _OnOurDevices(Capability):
    """Holds on processors and on CUDA devices."""

    def reason_if_unsatisfied(self, device=None):
        kind = "cpu" if device is None else str(device).split(":")[0]
        return None if kind in ("cpu", "cuda") else f"the kernels run on CPU and CUDA tensors, not on {kind!r}"


def _register(function):
    """Registers an operation's implementation here; it takes a mode in addition to what the function takes."""
    name = function.__name__

    @functools.wraps(function)
    def implementation(*args, mode=None, **kwargs):
        check_mode(name, mode, _MODES)
        return function(*args, **kwargs)

    register_impl(
        name, impl_name=SWIFT, capability=_OnOurDevices(), modes=_MODES, default_mode="default",
        preference_rank=50,
    )(implementation)  # fmt: skip
    return implementation


def _operation(function):
    """Registers an operation's implementation here; the result finds the one to run, first of all this."""
    name = function.__name__
    _register(function)

    @functools.wraps(function)
    def run(*args, impl=None, mode=None, backend=None, **kwargs):
        options = {} if mode is None else {"mode": mode}
        return dispatch(name, *args, impl=impl, backend=backend, **kwargs, **options)

    own = inspect.signature(function).parameters.values()
    only = inspect.Parameter.KEYWORD_ONLY
    own = [p.replace(kind=only) if p.name in _KEYWORDS.get(name, ()) else p for p in own]
    names = [inspect.Parameter(name, only, default=None) for name in ("impl", "mode", "backend")]
    run.__signature__ = inspect.Signature([*own, *names])
    return run


# What an implementation takes by position, and callers give by name.
_KEYWORDS = {"rms_norm": ("offset", "casting_mode", "in_place", "row_mode")}


@_operation
def rms_norm(x, weight, eps=1e-6, offset=0.0, casting_mode="llama", in_place=False, row_mode=None):
    """x / sqrt(mean(x^2) + eps) * (weight + offset) over the last dimension; `weight` may be None."""
    from liger_kernel.ops.rms_norm import rms_norm

    return rms_norm(x, weight, eps, offset, casting_mode)


@_operation
def layer_norm(x, weight, bias=None, eps=1e-6):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimension; no bias is one of zeros."""
    bias = weight.new_zeros(weight.shape) if bias is None else bias
    return LigerLayerNormFunction.apply(x, weight, bias, eps)


@_operation
def jsd(_input, target, shift_labels=None, beta=0.5, ignore_index=-100):
    """Generalised Jensen-Shannon divergence of log-probabilities (N, V)."""
    return LigerJSDFunction.apply(_input, target, shift_labels, beta, ignore_index)


@_operation
def softmax(x):
    """Over the last dimension."""
    return LigerSoftmaxFunction.apply(x)


@_operation
def swiglu(a, b, gate_multiplier=1.0, down_multiplier=1.0):
    """silu(gate_multiplier a) b down_multiplier."""
    return LigerSiLUMulFunction.apply(a, b, gate_multiplier, down_multiplier)


@_operation
def geglu(a, b):
    """gelu(a) b, gelu in its tanh form."""
    return LigerGELUMulFunction.apply(a, b)


@_operation
def rope(q, k, cos, sin, position_ids=None, unsqueeze_dim=1, *, rotary_dim=None):
    """Rotated q and k (B, heads, S, D); rotary_dim: how much of a head is rotated, by default the tables' width."""
    return LigerRopeFunction.apply(q, k, cos, sin, position_ids, unsqueeze_dim, rotary_dim)


@_operation
def cross_entropy(
    input, target, weight=None, ignore_index=-100, lse_square_scale=0.0, label_smoothing=0.0, reduction="mean",
    softcap=None, return_z_loss=False, return_token_accuracy=False, return_predicted_tokens=False,
):  # fmt: skip
    """(loss, z-loss, accuracy, predicted tokens); what was not asked for is None."""
    return LigerCrossEntropyFunction.apply(
        input, target, weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap, return_z_loss,
        return_token_accuracy, return_predicted_tokens,
    )  # fmt: skip


@_operation
def fused_add_rms_norm(X, R, W, eps=1e-6, offset=0.0, casting_mode="llama", in_place=False):
    """(RMSNorm(S), S), S = X + R."""
    return LigerFusedAddRMSNormFunction.apply(X, R, W, eps, offset, casting_mode, in_place)


@_operation
def kl_div(y_pred, y_true, reduction="batchmean", log_target=False, eps=1e-10):
    """Kullback-Leibler divergence of log-probabilities `y_pred` from `y_true`."""
    return LigerKLDivLossFunction.apply(y_pred, y_true, reduction, log_target, eps)


@_operation
def fused_linear_jsd(
    student_input, student_weight, teacher_input, teacher_weight, shift_labels=None, jsd_beta=0.5, ignore_index=-100,
    temperature=1.0,
):  # fmt: skip
    """Jensen-Shannon divergence of two linear layers' softmax."""
    from liger_kernel.ops.fused_linear_jsd import LigerFusedLinearJSDFunction

    return LigerFusedLinearJSDFunction.apply(
        student_input, student_weight, teacher_input, teacher_weight, shift_labels, jsd_beta, ignore_index, temperature
    )


@_operation
def fused_linear_cross_entropy(
    _input, weight, target, bias=None, ce_weight=None, ignore_index=-100, lse_square_scale=0.0, label_smoothing=0.0,
    reduction="mean", softcap=None, return_z_loss=False, accum_dtype=None, use_token_scaling=False,
    return_token_accuracy=False, return_predicted_tokens=False,
):  # fmt: skip
    """(loss, z-loss, accuracy, predicted tokens) of a linear layer's logits; what was not asked for is None."""
    return LigerFusedLinearCrossEntropyFunction.apply(
        _input, weight, target, bias, ce_weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap,
        return_z_loss, accum_dtype, use_token_scaling, return_token_accuracy, return_predicted_tokens,
    )  # fmt: skip


for _primitive in (cross_entropy_loss_and_grad, jsd_loss_and_grad, kl_loss_and_grad):
    _register(_primitive)
