"""Negative log-likelihood and entropy of each token under a linear layer whose logits are over a temperature.

The vocabulary is one device's, or spread over the ranks of a group.
"""

import math

import torch
import torch.distributed as dist

from liger_kernel._library import CheckFailedError
from liger_kernel.ops._linear_loss import UntracedFunction
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import require
from liger_kernel.ops._linear_loss import run
from liger_kernel.ops._primitive import first_order

__all__ = [
    "LigerFusedLinearScaledCrossEntropyFunction",
    "LigerFusedLinearScaledCrossEntropyTPFunction",
]

_INPUT, _WEIGHT = 1, 2
_IGNORED, _NOBODYS = -100, -1


class LigerFusedLinearScaledCrossEntropyFunction:
    """For each token -log softmax(_input @ weight.T / temperature)[target], in fp32; 0 where it is `ignore_index`.

    _input: (N, H), weight: (V, H), target: (N). With `return_entropy` also the entropy of each softmax, in the input's
    type, and with `selected_token_ids`, (K) class numbers of which any may occur twice, the log-probabilities of these
    classes, (N, K) in fp32. All have gradients. Logits are fp32 and never whole. m_tiles_per_cluster: upstream's hint
    for a kernel of its own; checked, and without effect.
    """

    @staticmethod
    def apply(
        _input, weight, target, temperature=1.0, ignore_index=-100, m_tiles_per_cluster=1, return_entropy=False,
        selected_token_ids=None,
    ):  # fmt: skip
        _check_count("m_tiles_per_cluster", m_tiles_per_cluster)
        if m_tiles_per_cluster < 1:
            raise ValueError(f"m_tiles_per_cluster must be >= 1; found {m_tiles_per_cluster}")
        _check_flag(return_entropy)
        return ScaledCrossEntropy.apply(
            _input, weight, target, temperature, ignore_index, return_entropy, selected_token_ids
        )


class LigerFusedLinearScaledCrossEntropyTPFunction:
    """The same of a weight whose rows are spread over the ranks of `tp_group`, None for all: (V / ranks, H) on each, in
    the order of ranks. _input and target, of classes of the whole vocabulary, are the same on all.

    Gives the negative log-likelihood, or that and the entropy, both in fp32 and the same on all ranks. The input's
    gradient is summed over ranks, the weight's is of the rank's own rows. tiles_per_reduce: upstream's hint for a
    kernel of its own; checked, and without effect.
    """

    @staticmethod
    def apply(
        _input, weight, target, tp_group, temperature=1.0, ignore_index=-100, tiles_per_reduce=1, return_entropy=False
    ):
        _check_temperature(temperature)
        _check_count("tiles_per_reduce", tiles_per_reduce)
        if tiles_per_reduce not in (1, 2, 4):
            raise ValueError(f"tiles_per_reduce must be one of 1, 2, or 4; found {tiles_per_reduce}")
        _check_flag(return_entropy)
        if not dist.is_available() or not dist.is_initialized():
            raise RuntimeError(
                "torch.distributed must be initialized before a loss over its ranks is computed: call "
                "torch.distributed.init_process_group first"
            )
        group = dist.group.WORLD if tp_group is None else tp_group
        _check_layer(_input, weight, target)
        _check_targets(target, ignore_index, weight.shape[0] * dist.get_world_size(group))
        return ParallelScaledCrossEntropy.apply(
            _input, weight, target, temperature, ignore_index, return_entropy, group
        )


def _check_count(name, value):
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int; found {value!r}")


def _check_flag(return_entropy):
    if not isinstance(return_entropy, bool):
        raise TypeError(f"return_entropy must be a bool; found {return_entropy!r}")


def _check_temperature(temperature):
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        raise TypeError(f"temperature must be a real number; found {temperature!r}")
    if not math.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature must be finite and > 0; found {temperature}")


def _check_layer(input, weight, target):
    shapes = f"input {tuple(input.shape)}, weight {tuple(weight.shape)} and target {tuple(target.shape)}"
    if input.dim() != 2 or weight.dim() != 2 or target.dim() != 1:
        raise ValueError(f"expected input (N, H), weight (V, H) and target (N); found {shapes}")
    if input.shape[0] != target.shape[0] or input.shape[1] != weight.shape[1]:
        raise ValueError(f"{shapes} do not fit together: give input (N, H), weight (V, H) and target (N)")
    if 0 in input.shape or 0 in weight.shape:
        raise ValueError(f"tokens, hidden sizes and classes must be at least one; found {shapes}")
    if not input.device == weight.device == target.device:
        places = f"{input.device}, {weight.device} and {target.device}"
        raise ValueError(f"input, weight and target must be on one device; found {places}")
    if input.dtype != weight.dtype or not input.is_floating_point():
        raise TypeError(
            f"input and weight must have the same floating-point dtype; found {input.dtype} and {weight.dtype}"
        )
    if target.dtype != torch.int64:
        raise TypeError(f"target must be an int64 tensor; found {target.dtype}")


def _check_targets(target, ignore_index, classes):
    is_right = ((target == ignore_index) | ((target >= 0) & (target < classes))).all()
    require(is_right, f"target contains values outside [0, {classes}) that are not ignore_index={ignore_index}")


def _check_selected(ids, weight):
    if not isinstance(ids, torch.Tensor) or ids.dtype != torch.int64:
        raise TypeError(f"selected_token_ids must be an int64 tensor; found {getattr(ids, 'dtype', type(ids))}")
    if ids.dim() != 1:
        raise ValueError(f"selected_token_ids must have shape [K]; found {tuple(ids.shape)}")
    if ids.device != weight.device:
        raise ValueError(
            f"selected_token_ids and weight must be on the same device; found {ids.device} and {weight.device}"
        )
    is_right = ((ids >= 0) & (ids < weight.shape[0])).all()
    require(is_right, f"selected_token_ids must be in [0, {weight.shape[0]})")


def _columns(ids, classes):
    """Which of the selected ids each class is the first of, -1 for none; and for each id which is the first like it."""
    first = (ids[:, None] == ids).to(torch.uint8).argmax(1)
    columns = torch.full((classes,), -1, dtype=torch.int32, device=ids.device)
    return columns.index_put_((ids,), first.int()), first


def _values(input, weight, labels, temperature, ignore_index, wants_entropy, classes=None):
    tensors = {"input": input, "weight": weight, "labels": labels, "classes": classes}
    options = {"temperature": float(temperature), "ignore_index": ignore_index, "wants_entropy": wants_entropy}
    return run("fused_linear_scaled_cross_entropy", tensors, 0, **options)[0]


def _gradients(ctx, tensors, ignore_index, upstream, entropy, **further):
    """Gradients of input and weight, None where not needed. upstream: by nll and by entropy, None for 0."""
    by_nll, by_entropy = upstream
    needs = _INPUT * ctx.needs_input_grad[0] | _WEIGHT * ctx.needs_input_grad[1]
    tensors["by_nll"] = torch.zeros_like(tensors["maximum"]) if by_nll is None else by_nll.float()
    if by_entropy is not None:
        tensors |= {"entropy": entropy, "by_entropy": by_entropy.float()}
    options = {"temperature": float(ctx.temperature), "ignore_index": ignore_index}
    out = run("fused_linear_scaled_cross_entropy_gradients", tensors | further, needs, **options)[0]
    return out.get("dinput"), out.get("dweight")


class ScaledCrossEntropy(UntracedFunction):
    """What `LigerFusedLinearScaledCrossEntropyFunction` gives, under autograd; the backward pass makes logits again."""

    @staticmethod
    def forward(
        ctx, input, weight, target, temperature, ignore_index, return_entropy=False, selected_token_ids=None
    ):
        _check_temperature(temperature)
        made = layer(input, weight, None)
        _check_layer(made["input"], made["weight"], target)
        ids = selected_token_ids
        if ids is not None:
            _check_selected(ids, weight)
        classes = None if ids is None or len(ids) == 0 else ids.int()
        try:
            out = _values(
                made["input"], made["weight"], target, temperature, ignore_index, return_entropy, classes
            )
        except CheckFailedError as error:
            raise ValueError(
                f"target contains values outside [0, {weight.shape[0]}) that are not ignore_index={ignore_index}: "
                f"{error}"
            ) from None
        ctx.temperature, ctx.ignore_index, ctx.return_entropy = temperature, ignore_index, return_entropy
        ctx.save_for_backward(
            made["input"], made["weight"], target, out["maximum"], out["sum_exp"], out.get("entropy"), classes
        )
        ctx.set_materialize_grads(False)
        results = [out["nll"]]
        if return_entropy:
            results.append(out["entropy"].to(input.dtype))
        if ids is not None:
            results.append(out["nll"].new_empty(len(target), 0) if classes is None else out["selected"])
        return results[0] if len(results) == 1 else tuple(results)

    @staticmethod
    @first_order
    def backward(ctx, by_nll, *others):
        input, weight, target, maximum, sum_exp, entropy, classes = ctx.saved_tensors
        by_entropy = others[0] if ctx.return_entropy else None
        by_selected = others[-1] if len(others) > ctx.return_entropy else None
        tensors = {"input": input, "weight": weight, "labels": target, "maximum": maximum, "sum_exp": sum_exp}
        further = {}
        if by_selected is not None and classes is not None:
            columns, first = _columns(classes.long(), weight.shape[0])
            # Sums over equal classes; in this order on any device.
            merged = torch.zeros_like(by_selected.T, dtype=torch.float32)
            merged.index_put_((first,), by_selected.T.float(), accumulate=True)
            further = {"by_selected": merged.T, "columns": columns}
        gradients = _gradients(ctx, tensors, ctx.ignore_index, (by_nll, by_entropy), entropy, **further)
        return *gradients, *(None,) * 5


def _joined(tensor, operation, group):
    """A tensor itself, reduced over the ranks of a group."""
    if dist.get_world_size(group) > 1:
        dist.all_reduce(tensor, op=operation, group=group)
    return tensor


class ParallelScaledCrossEntropy(UntracedFunction):
    """What `LigerFusedLinearScaledCrossEntropyTPFunction` gives, under autograd.

    A rank's own maximum m, sum of exponentials s and entropy h of its part of a row become the row's by one maximum and
    one sum over ranks: with M the largest m, S = Σ s exp(m - M) and W = Σ s exp(m - M) (m - M + log(s) - h), which is
    what the exponentials give as weights of v - M, the entropy is log(S) - W / S.
    """

    @staticmethod
    def forward(ctx, input, weight, target, temperature, ignore_index, return_entropy, group):
        made = layer(input, weight, None)
        input, weight = made["input"], made["weight"]
        own = target - dist.get_rank(group) * weight.shape[0]
        is_counted, is_own = target != ignore_index, (own >= 0) & (own < weight.shape[0])
        # A token of somebody else's class has statistics here too.
        labels = torch.where(is_own, own, 0).where(is_counted, _IGNORED)
        out = _values(input, weight, labels, temperature, _IGNORED, return_entropy)

        shift, s = _joined(out["maximum"].clone(), dist.ReduceOp.MAX, group), out["sum_exp"]
        distance, log_s = out["maximum"] - shift, s.log()
        weights = s * distance.exp()
        sums = [weights, torch.where(is_own, distance + log_s - out["nll"], 0.0)]
        if return_entropy:
            # Where a rank's part is nothing in addition to others, its distance may be minus infinity.
            weighted = weights * (distance + log_s - out["entropy"])
            sums.append(torch.where(weights > 0, weighted, 0.0))
        sums = _joined(torch.stack(sums), dist.ReduceOp.SUM, group)
        log_sum = sums[0].log()
        nll = torch.where(is_counted, log_sum - sums[1], 0.0)
        entropy = torch.where(is_counted, log_sum - sums[2] / sums[0], 0.0) if return_entropy else None

        ctx.temperature, ctx.group = temperature, group
        labels = torch.where(is_own, own, _NOBODYS).where(is_counted, _IGNORED)
        ctx.save_for_backward(input, weight, labels, shift, sums[0], entropy)
        ctx.set_materialize_grads(False)
        return (nll, entropy) if return_entropy else nll

    @staticmethod
    @first_order
    def backward(ctx, by_nll, by_entropy=None):
        input, weight, labels, shift, total, entropy = ctx.saved_tensors
        # In fp32 until it is summed over ranks.
        tensors = {"input": input.float(), "weight": weight, "labels": labels, "maximum": shift, "sum_exp": total}
        d_input, d_weight = _gradients(ctx, tensors, _IGNORED, (by_nll, by_entropy), entropy)
        if d_input is not None:
            d_input = _joined(d_input, dist.ReduceOp.SUM, ctx.group).to(input.dtype)
        return d_input, d_weight, *(None,) * 5


# By upstream's names, which its tests know.
_FusedLinearPPOFallbackFunction, _apply_tp_fallback = ScaledCrossEntropy, ParallelScaledCrossEntropy.apply
