"""A module's method run inside the forward of the FSDP wrapper that gathers the module's weights."""

from torch.distributed.fsdp import FullyShardedDataParallel


class _FSDPForwardRedirection:
    """Calls a function of a wrapped module's weights where they are unsharded: within the wrapper's own forward.

    FSDP gathers the flat parameter before a wrapper's forward and frees it afterwards, also in the backward pass. A
    function that reads a weight at any other time finds a fragment.
    """

    def __call__(self, wrapper_module, method, *args, **kwargs):
        """`method(*args, **kwargs)`, called in the place of the wrapped module's forward, which is put back first."""
        assert isinstance(wrapper_module, FullyShardedDataParallel), (
            f"the wrapper must be a FullyShardedDataParallel; found {type(wrapper_module).__name__}"
        )
        module = wrapper_module._fsdp_wrapped_module
        own = module.__dict__.get("forward")

        def restore():
            if own is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = own

        def redirected(*arguments, **options):
            # First, as the method may call the real forward.
            restore()
            return method(*arguments, **options)

        module.forward = redirected
        try:
            return wrapper_module(*args, **kwargs)
        finally:
            restore()
