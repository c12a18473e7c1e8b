"""What stands in for whole modules of operations: nothing. `liger_kernel.backends` has implementations by operation."""

from liger_kernel.ops.backends.registry import IMPL_REGISTRY  # noqa: F401  (where others look for it)
from liger_kernel.ops.backends.registry import LIGER_KERNEL_IMPL_ENV  # noqa: F401
