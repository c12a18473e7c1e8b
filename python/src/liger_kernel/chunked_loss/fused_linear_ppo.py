"""Policy losses of sampled answers with an advantage."""

import warnings

import torch

from liger_kernel.chunked_loss._formulas import FormulaFunction
from liger_kernel.chunked_loss._formulas import Parts
from liger_kernel.chunked_loss._formulas import TokenLogProbabilities
from liger_kernel.chunked_loss._formulas import kernel_options
from liger_kernel.chunked_loss._formulas import log_probabilities
from liger_kernel.chunked_loss._formulas import split
from liger_kernel.chunked_loss._formulas import wanted
from liger_kernel.chunked_loss._shares import TRIED
from liger_kernel.chunked_loss._shares import Trial
from liger_kernel.chunked_loss._shares import may_check
from liger_kernel.chunked_loss._shares import nearby
from liger_kernel.ops import _policy
from liger_kernel.ops._linear_loss import chunk_bytes
from liger_kernel.ops._linear_loss import labels
from liger_kernel.ops._linear_loss import layer
from liger_kernel.ops._linear_loss import mask
from liger_kernel.ops._linear_loss import numbers
from liger_kernel.ops._memory import budget
from liger_kernel.ops._memory import bytes_of_logits


class LigerFusedLinearPPOBase(FormulaFunction):
    """A loss of the log-probabilities of B answers of T tokens.

    _input: (B, T, H), weight: (V, H), selected_token_ids and attention_mask: (B, T), advantages: (B) or (B, T), bias:
    (V). Gives (loss, (mean divergence from the reference where beta is not 0, share of clipped tokens)) in fp32.

    A subclass may bring a formula of its own, `ppo_loss_fn`. It is called for `chunk_size` answers at a time, with
    everything by name: per_token_logps, attention_mask, advantages, ref_per_token_logps, old_per_token_logps and
    vllm_is_ratio of these answers, full_attention_mask of the whole batch, and the options of `forward`. It gives
    (loss, metrics): the losses of all chunks are summed, and so are metrics that are numbers.
    """

    FORMULA = "ppo_loss_fn"
    BIAS, GRADIENTS = 5, 27

    def ppo_loss_fn(*args, **kwargs):
        """The formula, which a subclass gives."""
        raise NotImplementedError("the class has no formula. Give it a ppo_loss_fn")

    @staticmethod
    def forward(
        cls, ctx, _input, weight, selected_token_ids, attention_mask, advantages, bias=None, ref_per_token_logps=None,
        old_per_token_logps=None, ref_input=None, ref_weight=None, ref_bias=None, epsilon_low=0.2, epsilon_high=0.2,
        beta=0.04, loss_type="dapo", max_completion_length=None, importance_sampling_level="token", temperature=1.0,
        compiled=True, use_ref_model=False, chunk_size=1, sapo_temperature_pos=1.0, sapo_temperature_neg=1.05,
        vllm_is_ratio=None, delta=None, use_bias_correction_kl=False, vespo_k_pos=2.0, vespo_lambda_pos=3.0,
        vespo_k_neg=3.0, vespo_lambda_neg=2.0, num_items_in_batch=None, accum_dtype=None, budget_bytes=None,
    ):  # fmt: skip
        """The loss of the class `cls`; a subclass passes itself.

        `compiled` has no effect. accum_dtype and budget_bytes: as for `liger_kernel.set_loss_memory`, for this loss.
        """
        _check_reference(use_ref_model, ref_per_token_logps, ref_input, ref_weight)
        assert loss_type != "dr_grpo" or max_completion_length is not None, "dr_grpo needs max_completion_length"
        if not use_ref_model:
            ref_per_token_logps = None
        options = {
            "epsilon_low": epsilon_low, "epsilon_high": epsilon_high, "beta": beta, "loss_type": loss_type,
            "max_completion_length": max_completion_length, "importance_sampling_level": importance_sampling_level,
            "sapo_temperature_pos": sapo_temperature_pos, "sapo_temperature_neg": sapo_temperature_neg, "delta": delta,
            "use_bias_correction_kl": use_bias_correction_kl, "vespo_k_pos": vespo_k_pos,
            "vespo_lambda_pos": vespo_lambda_pos, "vespo_k_neg": vespo_k_neg, "vespo_lambda_neg": vespo_lambda_neg,
        }  # fmt: skip
        samples = {
            "advantages": advantages,
            "old": old_per_token_logps,
            "reference": ref_per_token_logps,
            "sampler_ratio": vllm_is_ratio,
        }
        tensors = layer(_input, weight, bias)
        uses_layer = use_ref_model and ref_per_token_logps is None
        reference = layer(ref_input, ref_weight, ref_bias) if uses_layer else {}
        common = {
            "temperature": float(temperature),
            "memory": (accum_dtype, budget_bytes),
            "of_chunks": chunk_bytes(chunk_size, 1, _input.shape[1] * weight.shape[0] * bytes_of_logits(weight)),
            "wanted": wanted(_input, weight, bias),
        }
        given = kernel_options(cls.ppo_loss_fn, **options)
        tokens = labels(selected_token_ids)
        if given is not None:
            common |= {"normaliser_of": num_items_in_batch, **given}
            return _by_kernel(cls, ctx, tensors, reference, samples, tokens, attention_mask, **common)
        chunks = max(1, len(_input) // chunk_size)
        options |= {"num_items_in_batch": num_items_in_batch, "full_attention_mask": attention_mask}
        return _by_formula(
            cls, ctx, tensors | {"labels": tokens}, reference, samples, attention_mask, chunks, options, **common
        )

    @staticmethod
    def chunk_forward(input_chunk, weight, selected_token_ids, bias=None, temperature=1.0):
        """Log-probabilities of the tokens, (B, T), under autograd and without the logits."""
        return TokenLogProbabilities.apply(input_chunk, weight, bias, labels(selected_token_ids), float(temperature))

    _compute_dapo_normalizer = staticmethod(_policy.batch_normaliser)


def _check_reference(is_used, log_probabilities, input, weight):
    """A reference model is given as log-probabilities, or as a layer."""
    if not is_used:
        return
    assert log_probabilities is not None or (input is not None and weight is not None), (
        "a reference model needs ref_per_token_logps, or ref_input and ref_weight, or use_ref_model=False"
    )
    if log_probabilities is not None and input is not None:
        warnings.warn("Both ref_per_token_logps and ref_input are given. Using ref_per_token_logps.", stacklevel=2)


def _by_kernel(cls, ctx, tensors, reference, samples, tokens, attention_mask, *, normaliser_of, **options):
    """The results of a formula of the Swift library."""
    _policy.check_advantages(samples["advantages"], tokens)
    kind, beta = options["formula"], options["beta"]
    normaliser = _policy.normaliser(kind, attention_mask, normaliser_of)
    if beta == 0:
        reference, samples = {}, samples | {"reference": None}
    tensors |= {f"reference_{name}": tensor for name, tensor in reference.items()}
    tensors |= {name: numbers(tensor) for name, tensor in samples.items()}
    tensors |= {"tokens": tokens, "mask": mask(attention_mask), "normaliser": normaliser}
    out = cls.compute(ctx, "fused_linear_grpo", tensors, **options)
    return out["loss"], (*((out["divergence"],) if beta != 0 else ()), out["clip_ratio"])


def _by_formula(cls, ctx, tensors, reference, samples, attention_mask, chunks, arguments, **options):
    """The results of a formula that the library has no kernel for."""
    samples = samples | {"mask": attention_mask}
    if reference:
        budget_bytes = budget(options["memory"][1], options["of_chunks"])
        given = reference | {"labels": tensors["labels"]}
        scores = log_probabilities(given, budget_bytes, temperature=options["temperature"])
        samples["reference"] = scores["log_probabilities"].view(attention_mask.shape)
    ratio = samples["sampler_ratio"]
    if ratio is not None:
        samples["sampler_ratio"] = ratio[:, None] if ratio.dim() == 1 else ratio

    def evaluate(tokens):
        parts, losses = Parts(cls, tokens), []
        pieces = {name: split(tensor, chunks) for name, tensor in samples.items()}
        # A formula may write over what it is given.
        for number, own in enumerate(split(tokens.clone(), chunks)):
            found = _called(cls, own, {name: parts_of[number] for name, parts_of in pieces.items()}, arguments)
            if not isinstance(found, (tuple, list)) or len(found) != 2:
                raise TypeError(f"{cls.__name__}.ppo_loss_fn must give (loss, metrics); found {type(found).__name__}")
            losses.append(parts.add((found[0], *found[1])))
        parts.check()
        if len(losses) > 1 and may_check(cls, tokens):
            _try_formula(cls, tokens, samples, chunks, arguments)
        return sum(losses), parts.results()

    loss, results, _ = cls.of_log_probabilities(ctx, tensors, evaluate, **options)
    return loss, results


def _called(cls, tokens, part, arguments):
    """What a formula gives of a part of the answers."""
    return cls.ppo_loss_fn(
        per_token_logps=tokens, attention_mask=part["mask"], advantages=part["advantages"],
        ref_per_token_logps=numbers(part["reference"]), old_per_token_logps=numbers(part["old"]),
        vllm_is_ratio=part["sampler_ratio"], **arguments,
    )  # fmt: skip


def _try_formula(cls, tokens, samples, chunks, arguments):
    """Raises ValueError for a formula that gives a mean of the answers, or of the tokens, that it is given."""
    near = split(nearby(tokens), chunks)[:TRIED]
    pieces = {name: split(tensor, chunks)[:TRIED] for name, tensor in samples.items()}

    def of(first, last, times):
        part = {
            name: None if samples[name] is None else torch.cat(each[first:last]) for name, each in pieces.items()
        }
        full = {"full_attention_mask": torch.cat([samples["mask"]] * times)}
        # A copy, as a formula may write over what it is given.
        return _called(cls, torch.cat(near[first:last]).clone(), part, arguments | full)

    counts = torch.stack([part.sum() for part in pieces["mask"]]).tolist()
    Trial(cls, tokens.device).of_share(
        of, len(near), [[len(part) for part in near], counts],
        "divide the sum over the part by a number of the whole batch, such as full_attention_mask.sum()",
    )  # fmt: skip
