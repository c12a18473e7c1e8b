"""LayerNorm as a module."""

import torch

from torch import nn

from liger_kernel.backends.dispatch import check_name
from liger_kernel.ops.layer_norm import LigerLayerNormFunction
from liger_kernel.transformers.fallback import original_forward
from liger_kernel.transformers.fallback import takes


class LigerLayerNorm(nn.Module):
    """LayerNorm over the last dimension, of `hidden_size` elements; it always owns a bias.

    bias: whether the bias starts as random numbers instead of zeros. Raises ValueError for another last dimension.
    """

    def __init__(self, hidden_size, eps=1e-6, bias=False, init_fn="ones", impl=None, mode=None, backend=None):
        super().__init__()
        assert init_fn in ("ones", "zeros"), f"init_fn must be either 'ones' or 'zeros', got {init_fn}"
        self.hidden_size, self.eps, self.variance_epsilon = hidden_size, eps, eps
        self.weight = nn.Parameter((torch.ones if init_fn == "ones" else torch.zeros)(hidden_size))
        self.bias = nn.Parameter((torch.randn if bias else torch.zeros)(hidden_size))
        self.impl, self.mode = impl or backend, mode
        check_name(self.impl, "LigerLayerNorm")

    @property
    def backend(self):
        """The older name of `impl`."""
        return self.impl

    @backend.setter
    def backend(self, name):
        check_name(name, "LigerLayerNorm")
        self.impl = name

    def forward(self, hidden_states):
        sizes = self.hidden_size if isinstance(self.hidden_size, (tuple, list)) else (self.hidden_size,)
        if hidden_states.shape[-1] != sizes[-1]:
            raise ValueError(
                f"LigerLayerNorm over {sizes[-1]} elements was given a last dimension of {hidden_states.shape[-1]}"
            )
        weight, bias = self.weight, self.bias
        if not (takes(hidden_states) and takes(weight)):
            return (original_forward(self, LigerLayerNorm.forward) or layer_norm_in_torch)(self, hidden_states)
        if self.impl is None and self.mode is None:
            return LigerLayerNormFunction.apply(hidden_states, weight, bias, self.variance_epsilon)
        from liger_kernel.functional import layer_norm

        return layer_norm(hidden_states, weight, bias, self.variance_epsilon, impl=self.impl, mode=self.mode)

    def extra_repr(self):
        return f"{self.hidden_size}, eps={self.variance_epsilon}"


def layer_norm_in_torch(module, hidden_states):
    """The formula of `LigerLayerNorm` by torch's operations, for tensors that the kernel does not take."""
    shape = hidden_states.shape[-1:]
    return torch.nn.functional.layer_norm(hidden_states, shape, module.weight, module.bias, module.variance_epsilon)
