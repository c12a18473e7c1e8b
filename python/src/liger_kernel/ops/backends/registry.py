"""Alternative modules of operations, which Axolotl reads to tell which one a process has loaded."""

from types import MappingProxyType

# The environment variable that names an implementation; see `liger_kernel.backends.dispatch`.
LIGER_KERNEL_IMPL_ENV = "LIGER_KERNEL_IMPL"
# Name -> what has a `module_path`. One library serves every device, so no module takes another's place.
IMPL_REGISTRY = MappingProxyType({})
