"""Cross entropy of each token of logits whose classes are spread over the ranks of a group."""

import torch
import torch.distributed as dist

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_FORMULAS = ("pytorch", "megatron")
_MODES = ("global", "partition")
# No class, and no label of anybody: where every row counts.
_NOTHING = -(1 << 31)

_numbers = operation("class_parts")
_gradient = operation("class_parts_gradient")


def validate_formula_and_mode(label_smoothing_formula, label_smoothing_mode):
    """Raises ValueError for a formula or mode of label smoothing that there is none of."""
    if label_smoothing_formula not in _FORMULAS:
        raise ValueError(f"label_smoothing_formula must be one of {_FORMULAS}, got {label_smoothing_formula!r}.")
    if label_smoothing_mode not in _MODES:
        raise ValueError(f"label_smoothing_mode must be one of {_MODES}, got {label_smoothing_mode!r}.")


def _ranks(group):
    """(rank, how many), of which None and a group of one have one."""
    if group is None or not hasattr(group, "size") or group.size() <= 1:
        return 0, 1
    return dist.get_rank(group), dist.get_world_size(group)


class LigerVocabParallelCEFunction(Function):
    """For each token (1 - a) (-log p[target]) + a (-mean log p), in fp32; 0 where the target is `ignore_index`.

    vocab_parallel_logits: (S, B, V / ranks), a rank's part of the classes in the order of ranks; target: (S, B) of all
    classes; tp_group: None for one rank. a is `label_smoothing`, with the formula "megatron" times K / (K - 1), K the
    number of classes in the mean: all of them, which is exact, or with the mode "partition" the rank's own, which gives
    each rank another loss and spares a sum over ranks. Logits are left as they are and read again backward. As in
    Megatron, a target that no rank has is not refused: its own logit counts as the row's largest.
    """

    @staticmethod
    def forward(
        ctx, vocab_parallel_logits, target, tp_group, ignore_index, label_smoothing, label_smoothing_formula,
        label_smoothing_mode,
    ):  # fmt: skip
        shape = vocab_parallel_logits.shape
        if len(shape) != 3:
            raise ValueError(f"vocab_parallel_logits must be 3-D ([seq, batch, vocab]); got shape {tuple(shape)}.")
        if target.shape != shape[:2]:
            raise ValueError(f"target must have shape {tuple(shape[:2])}; found {tuple(target.shape)}")
        validate_formula_and_mode(label_smoothing_formula, label_smoothing_mode)
        (rank, count), rows = _ranks(tp_group), vocab_parallel_logits.flatten(0, 1)
        target, classes = target.flatten(), shape[2]
        first = rank * classes
        rows = rows.contiguous()
        found = _numbers(rows, target, first)
        shift = found[0].clone()
        if count > 1:
            dist.all_reduce(shift, op=dist.ReduceOp.MAX, group=tp_group)
        sums = _sums(found, shift, (target >= first) & (target < first + classes), classes)
        kept_mean = sums[2] / classes
        if count > 1:
            dist.all_reduce(sums, op=dist.ReduceOp.SUM, group=tp_group)
        log_sum, averaged = sums[0].log(), classes * count if label_smoothing_mode == "global" else classes
        loss, a = log_sum - sums[1], 0.0
        if label_smoothing > 0:
            a = label_smoothing * (averaged / (averaged - 1) if label_smoothing_formula == "megatron" else 1.0)
            mean = sums[2] / averaged if label_smoothing_mode == "global" else kept_mean
            loss = (1 - a) * loss + a * (log_sum - mean)
        is_counted = True if ignore_index is None else target != ignore_index
        loss = loss if ignore_index is None else torch.where(is_counted, loss, 0.0)
        ctx.numbers = a, a / averaged, first, _NOTHING if ignore_index is None else ignore_index
        ctx.save_for_backward(rows, shift, sums[0], target)
        return loss.view(shape[:2])

    @staticmethod
    @first_order
    def backward(ctx, upstream):
        rows, shift, total, target = ctx.saved_tensors
        (a, each, first, ignored), shape = ctx.numbers, upstream.shape
        upstream = upstream.flatten().float()
        joined = torch.stack([shift, upstream / total, (1 - a) * upstream, each * upstream])
        gradient = _gradient(rows, target, joined, first, ignored)
        return gradient.view(*shape, -1), *(None,) * 6


def _sums(found, shift, is_own, classes):
    """Of each row over this rank's classes: the exponentials, the target's logit if it is here, and all logits; (3, N).

    Logits are less the row's maximum over all ranks.
    """
    below = found[0] - shift
    return torch.stack([
        found[1] * below.exp(), (found[2] - shift).where(is_own, 0.0), found[3] + classes * below
    ])  # fmt: skip
