"""The causal loss of a head whose rows are spread over ranks: each rank makes logits of its own classes alone."""

import torch

from liger_kernel.ops._parallel_cross_entropy import ParallelLinearCrossEntropy
from liger_kernel.ops._parallel_cross_entropy import suits
from liger_kernel.ops.fused_linear_scaled_cross_entropy import LigerFusedLinearScaledCrossEntropyTPFunction
from liger_kernel.transformers.model import heads
from liger_kernel.transformers.model import loss_utils

# What the loss over ranks knows of: the rest wants whole rows of logits.
_KNOWN = frozenset({"labels", "shift_labels", "num_items_in_batch", "ignore_index", "reduction"})


def takes(head, hidden, options) -> bool:
    """Whether the loss with these options can be computed over the ranks that a head is spread over."""
    if not isinstance(head, torch.nn.Linear) or not heads.is_spread(head) or head.bias is not None:
        return False
    if any(value is not None and value is not False for name, value in options.items() if name not in _KNOWN):
        return False
    weight = head.weight
    # Ranks know where theirs are by the number of rows that each has.
    is_even = weight.shape[0] % weight.device_mesh.size() == 0
    return is_even and hidden.dtype == weight.dtype and heads.are_read(weight.to_local(), heads.whole(hidden))


def causal_loss(head, hidden, labels=None, shift_labels=None, num_items_in_batch=None, ignore_index=-100, **_):
    """`LigerForCausalLMLoss` of hidden states (..., H) that all ranks have: an fp32 scalar, the same on all.

    The hidden states' gradient is summed over ranks; the weight's is of the rank's own rows, a DTensor like it.
    """
    hidden = heads.whole(hidden)
    target = loss_utils.next_token_targets(labels, shift_labels, ignore_index).to(hidden.device)
    weight = head.weight
    rows, own, group = hidden.reshape(-1, hidden.shape[-1]), weight.to_local(), weight.device_mesh.get_group()
    # 0 where no label counts.
    count = (target != ignore_index).sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
    if suits(rows, own) and torch.is_grad_enabled() and (rows.requires_grad or own.requires_grad):
        count = torch.as_tensor(count, device=rows.device)
        return ParallelLinearCrossEntropy.apply(rows, own, target, count, ignore_index, group)
    losses = LigerFusedLinearScaledCrossEntropyTPFunction.apply(rows, own, target, group, 1.0, ignore_index)
    return loss_utils.divided(losses.sum(), count)
