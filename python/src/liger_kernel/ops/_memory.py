"""How losses of a linear layer treat memory: what weight gradients are summed in, and how long a chunk is.

Arguments decide, then `set_loss_memory`, then the library: fp32 sums, and chunks of logits of 640 MiB on a GPU and
48 MiB on the CPU. On a GPU a longer pair of answers (or answer, where losses take them one by one) is one chunk all the
same, up to a 32nd of the GPU's memory, as its logits would be made twice else.
"""

import torch

from liger_kernel._sizes import bytes_of

_accum_dtype = None
_budget_bytes = None


def set_loss_memory(accum_dtype=None, budget_bytes=None):
    """What chunked losses of this process do where their own arguments say nothing; without arguments, the default.

    accum_dtype: what the weight's gradient is summed in over chunks. torch.float32, the default, rounds once and takes
    half of the gradient's size more than 16-bit sums. The weight's own type rounds chunk by chunk, as upstream does,
    and takes nothing in addition to the gradient. budget_bytes: what the logits of a chunk may take, in bytes or
    as text such as "256MiB"; a chunk has at least one token. For trainers that make their losses themselves.

    Raises ValueError for another type, and for a budget that is not a whole number of at least 1.
    """
    global _accum_dtype, _budget_bytes
    if accum_dtype not in (None, torch.float32, torch.bfloat16, torch.float16):
        raise ValueError(f"accum_dtype is {accum_dtype}; give torch.float32, the weights' type, or None")
    _accum_dtype, _budget_bytes = accum_dtype, _checked(budget_bytes)


def sums_exactly(accum_dtype, weight):
    """Whether weight gradients are summed in fp32 rather than in the weight's type.

    Raises ValueError for a type that is neither.
    """
    accum_dtype = _accum_dtype if accum_dtype is None else accum_dtype
    if accum_dtype not in (None, torch.float32, weight.dtype):
        raise ValueError(f"accum_dtype is {accum_dtype}; give torch.float32, the weight's {weight.dtype}, or None")
    return accum_dtype in (None, torch.float32)


def bytes_of_logits(weight):
    """A GPU's logits have the weight's type, the CPU's are fp32."""
    return weight.element_size() if weight.is_cuda else 4


def bytes_of_exact_logits(weight):
    """fp32 logits, and a gradient of its own of the weight's type where that is another, which a GPU has."""
    return 4 if not weight.is_cuda or weight.dtype == torch.float32 else 4 + weight.element_size()


def budget(budget_bytes, of_chunks=None):
    """Bytes for a chunk's logits: as given, or what upstream's argument asks for, or the process's; None if none.

    of_chunks: bytes that an argument of upstream's, which counts in other units, was set to. Raises ValueError where
    both are given.
    """
    budget_bytes = _checked(budget_bytes)
    if budget_bytes is not None and of_chunks is not None:
        raise ValueError("both budget_bytes and the size of a chunk are given; leave one out")
    given = budget_bytes if budget_bytes is not None else of_chunks
    return _budget_bytes if given is None else given


def _checked(budget_bytes):
    if isinstance(size := bytes_of(budget_bytes), float) and isinstance(budget_bytes, str):
        budget_bytes = int(size)
    is_count = isinstance(budget_bytes, int) and not isinstance(budget_bytes, bool) and budget_bytes >= 1
    if budget_bytes is not None and not is_count:
        raise ValueError(
            "budget_bytes must be a whole number of at least 1, text such as '256MiB', or None; "
            f"found {budget_bytes!r}"
        )
    return budget_bytes
