"""RMSNorm with the constructor that Megatron-Core builds norms by."""

import numbers

import torch

from torch import nn

from liger_kernel.ops.rms_norm import LigerRMSNormFunction


class LigerMegatronRMSNorm(nn.Module):
    """RMSNorm over the last dimension, cast as Llama's; for `WrappedTorchNorm` and `FusedLayerNorm`.

    config: `normalization` must be "RMSNorm"; `sequence_parallel` marks the weight for Megatron's reduction of
    gradients; `layernorm_zero_centered_gamma` stores the weight minus 1, as the argument `zero_centered_gamma` does.
    persist_layer_norm: names a kernel of Apex, and changes nothing here.
    """

    def __init__(
        self,
        config,
        hidden_size,
        eps: float = 1e-5,
        persist_layer_norm: bool = False,
        zero_centered_gamma: bool = False,
        normalization: str = "RMSNorm",
    ):
        super().__init__()
        for name, found in (
            ("config.normalization", getattr(config, "normalization", "RMSNorm")),
            ("normalization", normalization),
        ):
            if found != "RMSNorm":
                raise ValueError(f"LigerMegatronRMSNorm requires {name}='RMSNorm'; got {found!r}")
        shape = (hidden_size,) if isinstance(hidden_size, numbers.Integral) else tuple(hidden_size)
        if len(shape) != 1:
            raise ValueError(f"LigerMegatronRMSNorm normalises over the last dimension; got hidden_size {shape}")
        self.config, self.eps, self.hidden_size = config, eps, torch.Size(shape)
        self.zero_centered_gamma = bool(zero_centered_gamma or getattr(config, "layernorm_zero_centered_gamma", False))
        self._offset = 1.0 if self.zero_centered_gamma else 0.0
        self.weight = nn.Parameter(torch.empty(self.hidden_size))
        self.reset_parameters()
        self.weight.sequence_parallel = bool(getattr(config, "sequence_parallel", False))

    def reset_parameters(self):
        nn.init.constant_(self.weight, 1 - self._offset)

    def forward(self, x):
        # Never in place: Megatron keeps activations for recomputation and for graphs.
        return LigerRMSNormFunction.apply(x, self.weight, self.eps, self._offset, "llama", False, None)

    def extra_repr(self):
        return f"hidden_size={tuple(self.hidden_size)}, eps={self.eps}, zero_centered_gamma={self.zero_centered_gamma}"
