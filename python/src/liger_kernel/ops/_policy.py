"""What GRPO and its relatives share, with logits at hand and without: names, what fits together, what is divided by."""

import torch

LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo")
OF_TOKENS = ("cispo", "sapo", "vespo")
DIVIDED_BY_BATCH = ("dapo", "cispo", "vespo")


def check(loss_type, level, max_completion_length):
    """Raises ValueError or AssertionError for what does not fit together."""
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"Unsupported loss_type: {loss_type!r}; give one of {', '.join(LOSS_TYPES)}")
    if level not in ("token", "sequence"):
        raise ValueError(f"importance_sampling_level is {level!r}; give 'token' or 'sequence'")
    check_level(loss_type, level)
    assert loss_type != "dr_grpo" or max_completion_length is not None, "dr_grpo needs max_completion_length"


def check_level(loss_type, level):
    """Raises ValueError for ratios of sequences in a loss that has none."""
    if level == "sequence" and loss_type in OF_TOKENS:
        raise ValueError(
            f"Sequence-level importance sampling is not supported for loss_type={loss_type!r}, whose ratios are of "
            "tokens; leave importance_sampling_level at 'token'"
        )


def check_advantages(advantages, tokens):
    """Raises ValueError where advantages are neither one per answer nor one per token.

    tokens: of shape (B, T). Other shapes could be broadcast: each answer would then have every answer's advantage.
    """
    allowed = (tokens.shape[:1], tokens.shape)
    if advantages.shape not in allowed:
        raise ValueError(
            f"advantages must have shape (B,) or (B, T), here {tuple(allowed[0])} or {tuple(allowed[1])}; found "
            f"{tuple(advantages.shape)}"
        )


def normaliser(loss_type, mask, num_items_in_batch):
    """What a loss divides by other than its own batch's tokens; None where that is what it divides by."""
    if loss_type not in DIVIDED_BY_BATCH or (num_items_in_batch is None and world_size() == 1):
        return None
    return batch_normaliser(mask, num_items_in_batch)


def batch_normaliser(mask, num_items_in_batch=None):
    """What DAPO divides by on each process: the tokens of the whole batch over the number of processes."""
    return (batch_tokens(mask, num_items_in_batch) / world_size()).clamp(min=1)


def batch_tokens(mask, num_items_in_batch=None):
    """Those that count on all processes, in fp32: as given, or the masks' sum."""
    if num_items_in_batch is not None:
        return torch.as_tensor(num_items_in_batch, dtype=torch.float32, device=mask.device)
    total = mask.sum().float()
    if world_size() > 1:
        torch.distributed.all_reduce(total)
    return total


def world_size():
    """Of the processes that share a batch; 1 where nothing is distributed."""
    is_distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if is_distributed else 1
