"""Operations as autograd Functions, with upstream's names and argument orders."""

import importlib

from liger_kernel.backends.dispatch import check_environment
from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction
from liger_kernel.ops.cross_entropy import cross_entropy_backward
from liger_kernel.ops.cross_entropy import cross_entropy_forward
from liger_kernel.ops.dyt import LigerDyTFunction
from liger_kernel.ops.experimental.embedding import LigerEmbeddingFunction
from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction
from liger_kernel.ops.fused_add_rms_norm import fused_add_rms_norm_backward
from liger_kernel.ops.fused_add_rms_norm import fused_add_rms_norm_forward
from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction
from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_backward
from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_forward
from liger_kernel.ops.geglu import LigerGELUMulFunction
from liger_kernel.ops.geglu import geglu_backward
from liger_kernel.ops.geglu import geglu_forward
from liger_kernel.ops.group_norm import LigerGroupNormFunction
from liger_kernel.ops.group_norm import group_norm_backward
from liger_kernel.ops.group_norm import group_norm_forward
from liger_kernel.ops.jsd import LigerJSDFunction
from liger_kernel.ops.kl_div import LigerKLDivLossFunction
from liger_kernel.ops.layer_norm import LigerLayerNormFunction
from liger_kernel.ops.layer_norm import layer_norm_backward
from liger_kernel.ops.layer_norm import layer_norm_forward
from liger_kernel.ops.llama4_rope import LigerLlama4RopeFunction
from liger_kernel.ops.qwen2vl_mrope import LigerQwen2VLMRopeFunction
from liger_kernel.ops.relu_squared import LigerReLUSquaredFunction
from liger_kernel.ops.relu_squared import relu_squared_backward
from liger_kernel.ops.relu_squared import relu_squared_forward
from liger_kernel.ops.rms_norm import LigerRMSNormFunction
from liger_kernel.ops.rms_norm import rms_norm_backward
from liger_kernel.ops.rms_norm import rms_norm_forward
from liger_kernel.ops.rope import LigerRopeFunction
from liger_kernel.ops.rope import rope_backward
from liger_kernel.ops.rope import rope_forward
from liger_kernel.ops.softmax import LigerSoftmaxFunction
from liger_kernel.ops.swiglu import LigerFusedGateUpSiLUMulFunction
from liger_kernel.ops.swiglu import LigerSiLUMulFunction
from liger_kernel.ops.swiglu import swiglu_backward
from liger_kernel.ops.swiglu import swiglu_forward
from liger_kernel.ops.tvd import LigerTVDLossFunction

# A name in LIGER_KERNEL_IMPL that nothing has fails here, and not in the middle of a run.
check_environment()

# They load torch's compiler, which takes a second; so they are imported when they are used.
_LATE = {
    "GrpoLossFunction": "grpo_loss",
    "LigerFusedLinearJSDFunction": "fused_linear_jsd",
    "LigerFusedLinearKLDivFunction": "fused_linear_kl_div",
}


def __getattr__(name):
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
