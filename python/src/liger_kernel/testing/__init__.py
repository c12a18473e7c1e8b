"""Checks of an operation's implementations against plain PyTorch, for those who register their own."""

from liger_kernel.testing._op_helpers import assert_op_correctness
from liger_kernel.testing._op_helpers import iter_test_shapes
from liger_kernel.testing._op_helpers import pytorch_reference_layer_norm
from liger_kernel.testing._op_helpers import pytorch_reference_rms_norm
from liger_kernel.testing._op_helpers import requires_cuda
from liger_kernel.testing._op_helpers import sum_based_dw_close

__all__ = [
    "assert_op_correctness", "iter_test_shapes", "pytorch_reference_layer_norm", "pytorch_reference_rms_norm",
    "requires_cuda", "sum_based_dw_close",
]  # fmt: skip
