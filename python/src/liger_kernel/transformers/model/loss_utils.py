"""The causal language model loss taken from hidden states, as the models' forwards call it."""

from __future__ import annotations

import functools
import inspect

from typing import Optional
from typing import Union

import torch
import torch.nn as nn

from liger_kernel.transformers import functional
from liger_kernel.transformers.fallback import takes
from liger_kernel.transformers.functional import CrossEntropyOutput


def unpack_cross_entropy_result(result):
    """`(loss, z_loss, token_accuracy, predicted_tokens)` of whatever a cross entropy of this package returned."""
    if isinstance(result, CrossEntropyOutput):
        return result.loss, result.z_loss, result.token_accuracy, result.predicted_tokens
    if isinstance(result, tuple):
        return (*result, None, None, None)[:4]
    return result, None, None, None


def fixed_fused_linear_cross_entropy(
    hidden_states: torch.Tensor,
    lm_head_weight: torch.Tensor,
    target: torch.Tensor,
    num_items_in_batch: Optional[Union[int, torch.Tensor]] = None,
    ignore_index: int = -100,
    final_logit_softcapping: Optional[float] = None,
    accum_dtype: Optional[torch.dtype] = None,
    return_token_accuracy: bool = False,
    return_predicted_tokens: bool = False,
    **kwargs,
):
    """Fused linear cross entropy of rows `(N, H)`: the mean, or the sum divided by `num_items_in_batch`.

    Other keyword arguments reach `functional.liger_fused_linear_cross_entropy` where it has a parameter of that name
    and are dropped where it has none. The function is looked up at each call, so that it can be replaced.
    """
    fused = functional.liger_fused_linear_cross_entropy
    if kwargs:
        kwargs = {name: value for name, value in kwargs.items() if name in option_names(fused)}
    result = fused(
        hidden_states,
        lm_head_weight,
        target,
        reduction="mean" if num_items_in_batch is None else "sum",
        ignore_index=ignore_index,
        softcap=final_logit_softcapping,
        accum_dtype=accum_dtype,
        return_token_accuracy=return_token_accuracy,
        return_predicted_tokens=return_predicted_tokens,
        **kwargs,
    )
    return divided(result, num_items_in_batch)


def LigerForCausalLMLoss(
    hidden_states: torch.Tensor,
    lm_head_weight: torch.Tensor,
    labels: Optional[torch.Tensor],
    hidden_size: int,
    num_items_in_batch: Optional[Union[int, torch.Tensor]] = None,
    ignore_index: int = -100,
    shift_labels: Optional[torch.Tensor] = None,
    final_logit_softcapping: Optional[float] = None,
    return_token_accuracy: bool = False,
    return_predicted_tokens: bool = False,
    **kwargs,
):
    """The loss of predicting each next token, without the logits.

    `hidden_states` is `(..., H)`; `labels` has its leading dimensions and is shifted here, `shift_labels` is already
    shifted and wins. Returns an fp32 scalar, or a `CrossEntropyOutput` when accuracy or predictions are asked for.
    """
    target = next_token_targets(labels, shift_labels, ignore_index).to(hidden_states.device)
    hidden_states = hidden_states.reshape(-1, hidden_size)
    if hidden_states.shape[0] != target.shape[0]:
        raise ValueError(
            f"the loss has {hidden_states.shape[0]} rows of hidden states and {target.shape[0]} labels; "
            "with logits_to_keep, pass labels for the kept positions only"
        )
    return fixed_fused_linear_cross_entropy(
        hidden_states,
        lm_head_weight,
        target,
        num_items_in_batch,
        ignore_index,
        final_logit_softcapping,
        return_token_accuracy=return_token_accuracy,
        return_predicted_tokens=return_predicted_tokens,
        **kwargs,
    )


def causal_loss_of_logits(logits, labels, num_items_in_batch=None, ignore_index=-100, shift_labels=None, **options):
    """The same loss from logits `(..., V)` that a head made because it could not be taken apart."""
    refused = sorted(name for name in ("use_token_scaling",) if options.get(name))
    if refused:
        raise ValueError(
            f"{', '.join(refused)} needs the weight of the output head, and there are only logits: the head is not a "
            "linear layer that can be taken apart, or the model's forward does more with its logits than scale them. "
            "Leave the option out or use a plain or LoRA linear head"
        )
    kernel = functional.liger_cross_entropy
    target = next_token_targets(labels, shift_labels, ignore_index).to(logits.device)
    rows = logits.float().reshape(-1, logits.shape[-1])
    # Torch's own where there are no kernels, as for a model on the meta device, whose shapes somebody wants.
    result = (kernel if takes(rows) else nn.functional.cross_entropy)(
        rows,
        target,
        ignore_index=ignore_index,
        reduction="mean" if num_items_in_batch is None else "sum",
        **{name: value for name, value in options.items() if name in option_names(kernel)},
    )
    return divided(result, num_items_in_batch)


def next_token_targets(labels, shift_labels, ignore_index):
    """Flat targets: the labels moved one position left, the last of each row ignored, unless already shifted."""
    if shift_labels is None:
        shift_labels = nn.functional.pad(labels, (0, 1), value=ignore_index)[..., 1:]
    return shift_labels.reshape(-1)


def divided(result, num_items_in_batch):
    """The result with its loss divided by the number of items over which a trainer averages, where it names one."""
    if num_items_in_batch is None:
        return result
    loss = result.loss if isinstance(result, CrossEntropyOutput) else result
    if torch.is_tensor(num_items_in_batch):
        num_items_in_batch = num_items_in_batch.to(loss.device)
    loss = loss / num_items_in_batch
    if isinstance(result, CrossEntropyOutput):
        return CrossEntropyOutput(loss, result.z_loss, result.token_accuracy, result.predicted_tokens)
    return loss


# What the callers above pass themselves.
FIXED = frozenset({"input", "weight", "target", "ignore_index", "reduction", "softcap", "reduce", "size_average"})


@functools.lru_cache(maxsize=8)
def option_names(function) -> frozenset:
    return frozenset(inspect.signature(function).parameters) - FIXED
