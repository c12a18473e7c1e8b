"""Policy losses of sampled answers with an advantage."""

from liger_kernel.ops import _policy
from liger_kernel.ops._linear_loss import LinearLossFunction
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import mask
from liger_kernel.ops._linear_loss import numbers


class LigerFusedLinearPPOBase(LinearLossFunction):
    """A loss of the log-probabilities of B answers of T tokens.

    _input: (B, T, H), weight: (V, H), selected_token_ids and attention_mask: (B, T), advantages: (B), bias: (V).
    Gives (loss, (mean divergence from the reference where beta is not 0, share of clipped tokens)) in fp32.
    """

    BIAS = 5

    @classmethod
    def samples(
        cls, ctx, samples, layers, *, num_items_in_batch, loss_type, temperature, chunk_size, memory, **options,
    ):  # fmt: skip
        """The results of a formula of the Swift library.

        samples: tokens, mask, advantages and log-probabilities by name. layers: (the policy's, the reference's).
        """
        policy, reference = layers
        normaliser = _policy.normaliser(loss_type, samples["mask"], num_items_in_batch)
        tensors = layer(*policy) | layer(*reference, prefix="reference_")
        tensors |= {name: numbers(samples[name]) for name in ("advantages", "old", "reference", "sampler_ratio")}
        tensors |= {"tokens": labels(samples["tokens"]), "mask": mask(samples["mask"]), "normaliser": normaliser}
        # What the mask leaves out counts for LUSPO here, as it does upstream.
        out = cls.compute(
            ctx,
            "fused_linear_grpo",
            tensors,
            formula=loss_type,
            temperature=float(temperature),
            counts_padding=loss_type == "luspo",
            memory=memory,
            of_chunks=chunk_bytes(chunk_size, 1, policy[0].shape[1] * policy[1].shape[0], policy[1]),
            **options,
        )
        divergence = (out["divergence"],) if options["beta"] != 0 else ()
        return out["loss"], (*divergence, out["clip_ratio"])

    _compute_dapo_normalizer = staticmethod(_policy.batch_normaliser)
