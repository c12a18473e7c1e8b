"""Loss and gradient of a chunk of logits, outside of autograd: what is registered for losses composed of chunks.

    loss, gradient = dispatch("jsd_loss_and_grad", log_q, log_p, labels, 0.5, -100, tokens)

Losses are in fp32, one for each entry or row, and left to be summed; what the whole loss is divided by, over all
chunks, is given. The gradient is a new tensor of the chunk's type, rounded once; nothing is written over.
"""

import torch

from liger_kernel.ops import cross_entropy
from liger_kernel.ops._divergence import loss_and_gradient


def cross_entropy_loss_and_grad(
    logits_chunk, target_chunk, ce_weight, ignore_index, lse_square_scale, label_smoothing, reduction, softcap,
    n_non_ignore, sum_non_ignore_weight, weight_sum, return_z_loss, return_token_accuracy, return_predicted_tokens,
    has_gradients,
):  # fmt: skip
    """Of each row loss, z-loss, accuracy and predicted class, None where not asked for; and the gradient, or the logits
    where none is asked for.

    A "mean" divides by the number `n_non_ignore` of labels that count or, with class weights, by their sum
    `sum_non_ignore_weight`; the z-loss by the number. `weight_sum` is that of `ce_weight`, which is read here anyway.
    """
    divisor = 1.0
    if reduction == "mean":
        divisor = float(n_non_ignore if ce_weight is None else sum_non_ignore_weight)
        # So that one divisor serves both.
        lse_square_scale = lse_square_scale * divisor / max(n_non_ignore, 1)
    factor = 1 / divisor if divisor else 0.0
    wants = cross_entropy.wanted(return_token_accuracy, return_predicted_tokens, has_gradients)
    upstream = logits_chunk.new_full(target_chunk.shape, factor, dtype=torch.float32)
    loss, z_loss, accuracy, predicted, gradient, _ = cross_entropy.of_logits(
        logits_chunk.detach().float(), target_chunk, ce_weight, ignore_index, float(lse_square_scale),
        float(label_smoothing), "none", softcap, wants, return_z_loss, upstream if has_gradients else None,
    )  # fmt: skip
    return (
        loss * factor, z_loss * factor if return_z_loss else None, accuracy if return_token_accuracy else None,
        predicted if return_predicted_tokens else None,
        gradient.to(logits_chunk.dtype) if has_gradients else logits_chunk,
    )  # fmt: skip


def jsd_loss_and_grad(student_prob, teacher_prob, shift_labels, beta, ignore_index, n_non_ignore):
    """Losses of entries, and the gradient of the student's log-probabilities (N, V); 0 where a label is ignored."""
    options = "jsd", "none", ignore_index, float(beta), 0.0
    losses, gradient = loss_and_gradient(student_prob.detach().float(), teacher_prob.float(), shift_labels, *options)
    factor = 1 / n_non_ignore if n_non_ignore else 0.0
    return losses * factor, (gradient * factor).to(student_prob.dtype)


def kl_loss_and_grad(logits_chunk, target_chunk, shift_labels, ignore_index, temperature, eps, scale):
    """Losses of rows, and the gradient of the logits (N, V), times `scale`; 0 where a label is ignored.

    Of KL(target || softmax(logits / temperature)), the target's logarithms of at least `eps`.
    """
    log_p = torch.log_softmax(logits_chunk.detach().float() / temperature, -1)
    options = "kl", "none", ignore_index, 0.5, float(eps)
    losses, gradient = loss_and_gradient(log_p, target_chunk.float(), shift_labels, *options)
    by_logits = (gradient - log_p.exp_() * gradient.sum(-1, keepdim=True)) * (scale / temperature)
    if shift_labels is not None:
        # Rows that do not count may hold anything.
        by_logits.masked_fill_((shift_labels == ignore_index)[:, None], 0.0)
    return losses.sum(-1) * scale, by_logits.to(logits_chunk.dtype)
