"""Losses of answers that are each just good or bad."""

import torch

from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import mask


class LigerFusedLinearUnpairedPreferenceBase(LinearLossFunction):
    """A mean over B answers of a formula of their log-probabilities.

    _input: (B, T, H), weight: (V, H), target: (B, T), preference_labels: (B), True for good answers, bias: (V).
    Gives (loss, (sums over good and over bad answers of log-probabilities, of all logits, and of rewards)) in fp32.
    """

    BIAS = 4

    @classmethod
    def answers(
        cls, ctx, _input, weight, target, preference_labels, bias, reference, kl, *, ignore_index, beta,
        average_log_prob, chunk_size, memory,
    ):  # fmt: skip
        """The results of the Swift library's loss."""
        if kl is not None:
            kl = torch.as_tensor(kl, dtype=torch.float32, device=_input.device).reshape(1)
        tensors = layer(_input, weight, bias) | layer(*reference, prefix="reference_")
        tensors |= {"labels": labels(target), "preferences": mask(preference_labels), "divergence": kl}
        out = cls.compute(
            ctx,
            "fused_linear_kto",
            tensors,
            beta=float(beta),
            averages=average_log_prob,
            ignore_index=ignore_index,
            memory=memory,
            of_chunks=chunk_bytes(chunk_size, 1, _input.shape[1] * weight.shape[0], weight),
        )
        return out["loss"], out["sums"].flatten().unbind()
