"""GRPO and its relatives of logits at hand. Without logits they are in `liger_kernel.chunked_loss`."""

import torch

from liger_kernel._call import call
from liger_kernel.ops import _policy
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import mask
from liger_kernel.ops._linear_loss import numbers
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.cross_entropy import scale_


def fused_selective_log_softmax(logits, input_ids, temperature=0.9, mask=None, lse=None):
    """log softmax(logits / temperature) of the last L tokens of `input_ids`: (B, L) in fp32, 0 where `mask` is 0.

    logits: (B, L + 1, V), of which the last position has no token. Of a longer `mask`, too, the last L columns count.
    lse: a (B, L) tensor in fp32 that the logarithms of the rows' sums of exponentials are written to, where `mask` is
    not 0. There is no gradient.
    """
    length = logits.shape[1] - 1
    mask = None if mask is None else mask[:, -length:]
    tensors = {
        "logits": logits.detach().contiguous(),
        "tokens": labels(input_ids[:, -length:]).contiguous(),
        "mask": _mask(mask),
    }
    if lse is not None and (lse.shape != tensors["tokens"].shape or lse.dtype != torch.float32):
        raise ValueError(
            f"lse must have shape {tuple(tensors['tokens'].shape)} and type float32; found {tuple(lse.shape)} of "
            f"{lse.dtype}"
        )
    out = call("selective_log_softmax", tensors, temperature=float(temperature))
    if lse is not None:
        lse.copy_(out["log_sums"] if mask is None else torch.where(mask != 0, out["log_sums"], lse))
    return out["log_probabilities"]


class GrpoLossFunction(torch.autograd.Function):
    """logits: (B, L + 1, V), of which the last position is not used; the rest as for `triton_grpo_loss`.

    Gives with `reduce` (loss, mean divergence or None, share of clipped tokens), else those of each token, (B, L).
    Logits are left as they are; the backward pass reads them a second time. `phi_seq` is computed here and refused.
    """

    @staticmethod
    def forward(
        ctx, logits, old_logp, ref_logp, completion_ids, advantages, completion_mask, temperature, beta, eps_low,
        eps_high, inplace, loss_type="grpo", max_completion_length=None, reduce=True, importance_sampling_level="token",
        sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, vllm_is_ratio=None, delta=None,
        use_bias_correction_kl=False, num_items_in_batch=None, phi_seq=None, vespo_k_pos=2.0, vespo_lambda_pos=3.0,
        vespo_k_neg=3.0, vespo_lambda_neg=2.0,
    ):  # fmt: skip
        if phi_seq is not None:
            raise ValueError("phi_seq is computed from vespo_k_* and vespo_lambda_*; give those instead")
        length = completion_ids.shape[1]
        longest = length if max_completion_length is None else max_completion_length
        _policy.check(loss_type, importance_sampling_level, longest)
        _policy.check_advantages(advantages, completion_ids)
        tensors = {
            "logits": logits.detach().contiguous(),
            "tokens": labels(completion_ids).contiguous(),
            "mask": _mask(completion_mask),
            "advantages": numbers(advantages).contiguous(),
            "old": numbers(old_logp),
            "reference": numbers(ref_logp) if beta != 0 else None,
            "sampler_ratio": numbers(vllm_is_ratio),
            "normaliser": _normaliser(loss_type, completion_mask, completion_ids, num_items_in_batch),
        }
        ctx.options = {
            "formula": loss_type, "temperature": float(temperature), "beta": float(beta), "epsilon_low": float(eps_low),
            "epsilon_high": float(eps_high), "delta": None if delta is None else float(delta),
            "is_per_sequence": importance_sampling_level == "sequence", "corrects_bias": use_bias_correction_kl,
            "maximum_length": longest, "tau_positive": float(sapo_temperature_pos),
            "tau_negative": float(sapo_temperature_neg), "vespo_power_positive": float(vespo_k_pos),
            "vespo_power_negative": float(vespo_k_neg), "vespo_rate_positive": float(vespo_lambda_pos),
            "vespo_rate_negative": float(vespo_lambda_neg),
        }  # fmt: skip
        ctx.reduce, ctx.names = reduce, [name for name, tensor in tensors.items() if tensor is not None]
        tensors = {name: tensors[name].contiguous() for name in ctx.names}
        out = call("grpo", tensors, **ctx.options)
        ctx.save_for_backward(*tensors.values())
        ctx.set_materialize_grads(False)
        tokens = out["tokens"].unbind(1)
        found = (out["loss"], out["divergence"], out["clip_ratio"]) if reduce else tuple(t.contiguous() for t in tokens)
        results = found[0], found[1] if beta != 0 else None, found[2]
        ctx.mark_non_differentiable(*[r for r in results[1:] if r is not None])
        return results

    @staticmethod
    @first_order
    def backward(ctx, upstream, *_):
        if upstream is None:
            return (None,) * 26
        tensors = dict(zip(ctx.names, ctx.saved_tensors))
        # f16 would lose what the upstream gradient makes large enough for it.
        is_early = not ctx.reduce or tensors["logits"].dtype == torch.float16
        if is_early:
            name, shape = ("loss_upstream", 1) if ctx.reduce else ("upstream", upstream.shape)
            tensors[name] = upstream.float().reshape(shape).contiguous()
        gradient = call("grpo", tensors, needs_gradient=True, **ctx.options)["dlogits"]
        return gradient if is_early else scale_(gradient, upstream), *(None,) * 25


def _mask(tensor):
    return None if tensor is None else mask(tensor).contiguous()


def _normaliser(loss_type, completion_mask, completion_ids, num_items_in_batch):
    counted = torch.ones_like(completion_ids) if completion_mask is None else completion_mask
    found = _policy.normaliser(loss_type, counted, num_items_in_batch)
    return None if found is None else found.reshape(1)
