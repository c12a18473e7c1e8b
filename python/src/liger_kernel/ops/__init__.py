"""Operations as autograd Functions, with upstream's names and argument orders."""

from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction
from liger_kernel.ops.cross_entropy import cross_entropy_backward
from liger_kernel.ops.cross_entropy import cross_entropy_forward
from liger_kernel.ops.experimental.embedding import LigerEmbeddingFunction
from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction
from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_backward
from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_forward
from liger_kernel.ops.geglu import LigerGELUMulFunction
from liger_kernel.ops.geglu import geglu_backward
from liger_kernel.ops.geglu import geglu_forward
from liger_kernel.ops.layer_norm import LigerLayerNormFunction
from liger_kernel.ops.layer_norm import layer_norm_backward
from liger_kernel.ops.layer_norm import layer_norm_forward
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
