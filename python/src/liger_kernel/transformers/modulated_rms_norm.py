"""Modulated RMSNorm as a module and as a function."""

import torch

from torch import nn

from liger_kernel.ops.modulated_rms_norm import LigerModulatedRMSNormFunction


def liger_modulated_rms_norm(X, W, scale, shift=None, eps=1e-6, offset=0.0, casting_mode="llama", in_place=True):
    """RMSNorm(X) (1 + scale) + shift; rows of scale and shift divide those of X. `in_place` changes nothing."""
    return LigerModulatedRMSNormFunction.apply(X, W, scale, shift, eps, offset, casting_mode, in_place)


class LigerModulatedRMSNorm(nn.Module):
    """RMSNorm over `hidden_size` elements, scaled and shifted by what `forward` is given."""

    def __init__(
        self, hidden_size, eps=1e-6, offset=0.0, casting_mode="llama", init_fn="ones", in_place=True,
        elementwise_affine=True,
    ):  # fmt: skip
        super().__init__()
        assert init_fn in ("ones", "zeros"), f"init_fn must be either 'ones' or 'zeros', got {init_fn}"
        self.elementwise_affine = elementwise_affine
        start = torch.ones if init_fn == "ones" else torch.zeros
        self.weight = nn.Parameter(start(hidden_size)) if elementwise_affine else None
        self.variance_epsilon, self.offset = eps, offset
        self.casting_mode, self.in_place = casting_mode, in_place

    def forward(self, hidden_states, scale, shift=None):
        return liger_modulated_rms_norm(
            hidden_states, self.weight, scale, shift, self.variance_epsilon, self.offset, self.casting_mode,
            self.in_place,
        )  # fmt: skip

    def extra_repr(self):
        shape = None if self.weight is None else tuple(self.weight.shape)
        return (
            f"weight_shape={shape}, eps={self.variance_epsilon}, offset={self.offset}, "
            f"casting_mode={self.casting_mode}, in_place={self.in_place}"
        )
