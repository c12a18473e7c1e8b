"""SwiGLU with the signature of Megatron-Core's `bias_swiglu_impl`, over gate and up in the halves of one tensor."""

import logging

from typing import Callable
from typing import Optional

from torch import nn

from liger_kernel.ops.swiglu import LigerFusedGateUpSiLUMulFunction

logger = logging.getLogger(__name__)


def unsupported(bias=None, fp8_input_store=False, cpu_offload_input=False) -> Optional[str]:
    """What of a call the kernel does not do, in Megatron's terms; None where it does all."""
    if bias is not None:
        return "add_bias_linear=True (bias is not None)"
    if fp8_input_store:
        return "config.activation_func_fp8_input_store=True"
    return "CPU activation offloading enabled" if cpu_offload_input else None


class LigerMegatronSwiGLU(nn.Module):
    """silu(first half) times second half of [tokens, 2 ffn] or [sequence, batch, 2 ffn].

    fallback_impl: what is called with a bias, fp8 storage or offloading, which the kernel does not have: Megatron's own
    `bias_swiglu_impl`. Without one such a call raises RuntimeError.
    in_place: the backward pass writes the input's gradient over the input. That saves an activation's memory and allows
    one backward pass only.
    """

    def __init__(self, fallback_impl: Optional[Callable] = None, in_place: bool = False):
        super().__init__()
        self.fallback_impl, self.in_place = fallback_impl, in_place
        self._logged = set()

    def forward(self, input, bias=None, fp8_input_store=False, cpu_offload_input=False):
        reason = unsupported(bias, fp8_input_store, cpu_offload_input)
        if reason is not None:
            return self._fall_back(reason, input, bias, fp8_input_store, cpu_offload_input)
        if input.dim() not in (2, 3):
            raise ValueError(
                "LigerMegatronSwiGLU takes 2D [tokens, 2 ffn] or 3D [sequence, batch, 2 ffn] input, as Megatron's "
                f"bias_swiglu_impl does; got {tuple(input.shape)}"
            )
        return LigerFusedGateUpSiLUMulFunction.apply(input, self.in_place)

    def _fall_back(self, reason, *arguments):
        if self.fallback_impl is None:
            raise RuntimeError(
                f"LigerMegatronSwiGLU has no kernel for this call: {reason}. Give it Megatron's "
                "fused_bias_swiglu.bias_swiglu_impl as fallback_impl, or use "
                "apply_liger_kernel_to_megatron(swiglu=True), which leaves such calls with Megatron"
            )
        if reason not in self._logged:
            self._logged.add(reason)
            logger.info("SwiGLU is falling back to Megatron's bias_swiglu_impl: %s", reason)
        return self.fallback_impl(*arguments)
