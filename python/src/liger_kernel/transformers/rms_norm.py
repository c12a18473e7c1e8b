"""RMSNorm modules, one per model family that differs in offset, casting or first weights."""

import torch

from torch import nn

from liger_kernel.ops.rms_norm import LigerRMSNormFunction
from liger_kernel.ops.rms_norm import rms_norm
from liger_kernel.transformers.fallback import original_forward
from liger_kernel.transformers.fallback import takes

__all__ = ["LigerRMSNorm", "LigerRMSNormFunction"]


class LigerRMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * (weight + offset) over the last dimension, of `hidden_size` elements.

    casting_mode: "llama" rounds to x's dtype before the weight multiplies, "gemma" and "none" round once at the
    end. `in_place` and `row_mode` are upstream's and change nothing. Without `elementwise_affine` there is no weight.
    """

    def __init__(
        self,
        hidden_size,
        eps=1e-6,
        offset=0.0,
        casting_mode="llama",
        init_fn="ones",
        in_place=True,
        row_mode=None,
        elementwise_affine=True,
    ):
        super().__init__()
        assert init_fn in ("ones", "zeros"), f"init_fn must be either 'ones' or 'zeros', got {init_fn}"
        self.elementwise_affine = elementwise_affine
        if elementwise_affine:
            first = torch.ones if init_fn == "ones" else torch.zeros
            self.weight = nn.Parameter(first(hidden_size))
        else:
            self.register_parameter("weight", None)
        self.variance_epsilon, self.offset, self.casting_mode = eps, offset, casting_mode
        self.in_place, self.row_mode = in_place, row_mode

    def forward(self, hidden_states):
        # The dictionary first: nn.Module's own search costs more than all else here.
        weight = self._parameters.get("weight")
        if weight is None:
            weight = self.weight
        if not (takes(hidden_states) and (weight is None or takes(weight))):
            return (original_forward(self, LigerRMSNorm.forward) or rms_norm_in_torch)(self, hidden_states)
        return rms_norm(hidden_states, weight, self.variance_epsilon, self.offset, self.casting_mode)

    def extra_repr(self):
        shape = None if self.weight is None else tuple(self.weight.shape)
        return f"{shape}, eps={self.variance_epsilon}, offset={self.offset}, in_place={self.in_place}"


def rms_norm_in_torch(module, hidden_states):
    """The formula of `LigerRMSNorm` by torch's operations, for tensors that the kernel does not take."""
    x = hidden_states.to(torch.float64 if hidden_states.dtype == torch.float64 else torch.float32)
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon)
    if module.weight is None:
        return x.to(hidden_states.dtype)
    if module.casting_mode in ("llama", 0):
        return x.to(hidden_states.dtype) * (module.weight + module.offset)
    return (x * (module.weight.to(x.dtype) + module.offset)).to(hidden_states.dtype)


class LigerRMSNormForGemma(LigerRMSNorm):
    """Gemma's: the weight is stored less 1, and one rounding happens at the end."""

    def __init__(
        self, hidden_size, eps=1e-6, offset=1.0, casting_mode="gemma", init_fn="zeros", in_place=True, row_mode=None
    ):
        super().__init__(hidden_size, eps, offset, casting_mode, init_fn, in_place, row_mode)


class LigerRMSNormForGemma2(LigerRMSNorm):
    """As Gemma's."""

    def __init__(
        self, hidden_size, eps=1e-6, offset=1.0, casting_mode="gemma", init_fn="zeros", in_place=False, row_mode=None
    ):
        super().__init__(hidden_size, eps, offset, casting_mode, init_fn, in_place, row_mode)


class LigerRMSNormForGemma3(LigerRMSNorm):
    """As Gemma's."""

    def __init__(self, dim, eps=1e-6, offset=1.0, casting_mode="gemma", init_fn="zeros", in_place=False):
        super().__init__(dim, eps, offset, casting_mode, init_fn, in_place)


class LigerRMSNormForGemma4(LigerRMSNorm):
    """Gemma's casting with a plain weight, or none."""

    def __init__(
        self, dim, eps=1e-6, offset=0.0, casting_mode="gemma", init_fn="ones", in_place=False, with_scale=True
    ):
        super().__init__(dim, eps, offset, casting_mode, init_fn, in_place, elementwise_affine=with_scale)
        self.with_scale = with_scale


class LigerRMSNormWithoutWeight(LigerRMSNorm):
    """As Gemma 4's without a scale, with a forward of its own, as upstream leaves these norms theirs."""

    def __init__(self, eps=1e-6, casting_mode="gemma"):
        super().__init__(None, eps, 0.0, casting_mode, elementwise_affine=False)

    def forward(self, hidden_states):
        if not takes(hidden_states):
            return (original_forward(self, LigerRMSNormWithoutWeight.forward) or rms_norm_in_torch)(self, hidden_states)
        return rms_norm(hidden_states, None, self.variance_epsilon, 0.0, self.casting_mode)


class LigerRMSNormForMuseGlimmer(LigerRMSNorm):
    """As Gemma 4's; without a scale it needs no size."""

    def __init__(
        self, dim=None, eps=1e-6, offset=0.0, casting_mode="gemma", init_fn="ones", in_place=False, with_scale=True
    ):
        super().__init__(dim, eps, offset, casting_mode, init_fn, in_place, elementwise_affine=with_scale)
        self.with_scale = with_scale


class LigerRMSNormForMuseGlimmerTextCentered(LigerRMSNormForGemma2):
    """As Gemma's."""


class LigerRMSNormForOlmo2(LigerRMSNorm):
    """Llama's."""

    def __init__(
        self, hidden_size, eps=1e-6, offset=0.0, casting_mode="llama", init_fn="ones", in_place=False, row_mode=None
    ):
        super().__init__(hidden_size, eps, offset, casting_mode, init_fn, in_place, row_mode)


class LigerRMSNormForGlm4(LigerRMSNormForOlmo2):
    """Llama's."""


class LigerRMSNormForQwen3Next(LigerRMSNormForGemma2):
    """As Gemma's."""
