"""The loss of a causal language model from hidden states, with the arguments of transformers' own loss."""

import inspect

import torch

from torch import nn

from .liger.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction

# What a model's other arguments may say about the loss; the rest of them are not the loss's.
_OPTIONS = ("ce_weight", "lse_square_scale", "label_smoothing", "accum_dtype", "use_token_scaling")


def LigerForCausalLMLoss(
    logits, labels, vocab_size, num_items_in_batch=None, ignore_index=-100, shift_labels=None, hidden_states=None,
    lm_head_weight=None, lm_head_bias=None, **kwargs,
):  # fmt: skip
    """The mean over next tokens, or the sum over them divided by `num_items_in_batch`.

    hidden_states is (.., H), lm_head_weight (V, H); labels are shifted here, shift_labels are shifted already and win.
    logits and vocab_size are taken for transformers' order of arguments and not read. `hidden_size` is not needed.
    """
    missing = [name for name, x in (("hidden_states", hidden_states), ("lm_head_weight", lm_head_weight)) if x is None]
    if missing:
        raise ValueError(
            f"LigerForCausalLMLoss makes no logits and needs {' and '.join(missing)}; pass them by name, or take the "
            "model's own loss"
        )
    if shift_labels is None:
        shift_labels = nn.functional.pad(labels, (0, 1), value=ignore_index)[..., 1:]
    target = shift_labels.reshape(-1).to(hidden_states.device)
    names = list(inspect.signature(LigerFusedLinearCrossEntropyFunction.forward).parameters)[1:]
    given = dict(
        _input=hidden_states.reshape(-1, hidden_states.shape[-1]), weight=lm_head_weight, target=target,
        bias=lm_head_bias, ignore_index=ignore_index, reduction="mean" if num_items_in_batch is None else "sum",
        softcap=kwargs.get("final_logit_softcapping"),
        **{name: kwargs[name] for name in _OPTIONS if kwargs.get(name) is not None},
    )  # fmt: skip
    loss = LigerFusedLinearCrossEntropyFunction.apply(*_in_order(names, given))[0]
    if num_items_in_batch is None:
        return loss
    if torch.is_tensor(num_items_in_batch):
        num_items_in_batch = num_items_in_batch.to(loss.device)
    return loss / num_items_in_batch


def _in_order(names, given):
    """The Function's arguments by place, as `apply` takes them: those given, and defaults in between."""
    parameters = inspect.signature(LigerFusedLinearCrossEntropyFunction.forward).parameters
    last = max(names.index(name) for name in given)
    return [given.get(name, parameters[name].default) for name in names[: last + 1]]


class LigerForCausalLMLossLayer(nn.Module):
    """`LigerForCausalLMLoss` as a layer."""

    can_torch_compile = has_backward = True

    def forward(
        self, logits, labels, vocab_size, num_items_in_batch=None, ignore_index=-100, shift_labels=None,
        hidden_states=None, lm_head_weight=None, lm_head_bias=None, **kwargs,
    ):  # fmt: skip
        return LigerForCausalLMLoss(
            logits, labels, vocab_size, num_items_in_batch, ignore_index, shift_labels, hidden_states, lm_head_weight,
            lm_head_bias, **kwargs,
        )  # fmt: skip


LigerForCausalLMLoss.can_torch_compile = True
