"""Rotary position embedding as Llama 4's text model has it: neighbouring dimensions are complex numbers."""

import torch

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.rope import learned

_rotate = operation("interleaved_rope")


def _rotations(freqs_cis, q):
    """Complex numbers of (.., S, D / 2) as pairs, with a dimension for the batch."""
    if not freqs_cis.is_complex():
        raise TypeError(f"freqs_cis must be complex; found {freqs_cis.dtype}")
    rotations = torch.view_as_real(freqs_cis.resolve_conj()).float()
    rotations = rotations.reshape(-1, q.shape[1], *rotations.shape[-2:])
    if rotations.shape[0] not in (1, q.shape[0]):
        raise ValueError(f"freqs_cis has shape {tuple(freqs_cis.shape)} for q of shape {tuple(q.shape)}")
    return rotations


def llama4_rope_forward(q, k, freqs_cis, BLOCK_SIZE=None, imag_sign=1.0):
    """Rotated q and k; the other way round with `imag_sign` -1."""
    return _rotate(q, k, _rotations(freqs_cis, q), imag_sign < 0)


class LigerLlama4RopeFunction(Function):
    """q, k: (B, S, H, D); freqs_cis: complex, (S, D / 2) with or without a batch. `BLOCK_SIZE` has no effect."""

    @staticmethod
    def forward(ctx, q, k, freqs_cis, BLOCK_SIZE=None):
        if ctx.needs_input_grad[2]:
            raise learned("freqs_cis")
        rotations = _rotations(freqs_cis, q)
        ctx.save_for_backward(rotations)
        return _rotate(q, k, rotations, False)

    @staticmethod
    @first_order
    def backward(ctx, dq, dk):
        return *_rotate(dq, dk, *ctx.saved_tensors, True), None, None
