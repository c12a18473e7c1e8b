"""Products of int8 matrices with weights of -1, 0, 1 or 2, four of which lie in a byte."""

import torch

# How many products of an int8 number and a weight fp32 adds without an error: 2^24 / (128 * 2).
_EXACT_SUM = 1 << 16


def _check_bits(bits):
    if bits != 2:
        raise ValueError(f"weights are packed in 2 bits each; found bits={bits}")


def pack_weights(intweights: torch.Tensor, bits: int = 2) -> torch.Tensor:
    """Weights from -1 to 2, (rows, ...), as bytes (rows / 4, rounded up, ...): the first rows in the lowest bits.

    Rows that are not there are -1. The weights are not changed.
    """
    _check_bits(bits)
    rows = -(-intweights.shape[0] // 4)
    codes = torch.zeros(4 * rows, *intweights.shape[1:], dtype=torch.uint8, device=intweights.device)
    codes[: intweights.shape[0]] = (intweights + 1).to(torch.uint8)
    first, second, third, fourth = codes.unflatten(0, (4, rows))
    return first | second << 2 | third << 4 | fourth << 6


def unpack_weights(packed: torch.Tensor, bits: int = 2) -> torch.Tensor:
    """The weights of `pack_weights`, int32, four times as many rows as there are of bytes."""
    _check_bits(bits)
    return torch.cat([packed >> shift & 3 for shift in (0, 2, 4, 6)]).to(torch.int32) - 1


def matmul(a, b):
    """a (M, K), int8, times weights (K, N) in bytes (K / 4, N): (M, N), int32, exact.

    The products are torch's in fp32, of which every sum is a whole number that fp32 holds; the weights are unpacked for
    them, 4 K N bytes a call.
    """
    assert a.shape[1] == b.shape[0] * 4, (
        f"Incompatible dimensions, the weight matrix need to be packed: found {tuple(a.shape)} and {tuple(b.shape)}"
    )
    assert a.is_contiguous(), "Matrix A must be contiguous"
    weights = unpack_weights(b).float()
    if a.shape[1] <= _EXACT_SUM:
        return (a.float() @ weights).to(torch.int32)
    parts = zip(a.split(_EXACT_SUM, dim=1), weights.split(_EXACT_SUM))
    return sum((part.float() @ weight).to(torch.int32) for part, weight in parts)


def get_autotune_config():
    raise RuntimeError(
        "get_autotune_config: liger_kernel has no Triton kernels, so there is no configuration of one to tune. matmul "
        "needs none"
    )
