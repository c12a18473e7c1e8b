"""Products of linear layers in 8-bit floats: `liger_kernel.fp8`."""

from liger_kernel.float8.installing import install

__all__ = ["fp8"]


def fp8(model, scaling="tensor", gradients=None, head=False, skip=(), emulate=False):
    """Lets a model's linear layers multiply in 8-bit floats; weights, gradients and the optimiser stay as they are.

    model: a module whose `nn.Linear` layers are on a GPU of compute capability 8.9 or later (or will be, see emulate).
        Call this after patching and loading, before wrapping by FSDP, DDP or torch.compile. Layers stay as they are
        whose sizes are not multiples of 16, routers of experts, LoRA's factors, and those that `skip` names.
    scaling: "tensor", a scale for each matrix; or "row", one for each row of each factor, which costs more and is
        finer. Scales are those of the values at hand, so that there is no state.
    gradients: the type of gradients of results, "e5m2" or "e4m3"; None for "e5m2" with a scale a tensor, whose range
        it has to hold, and "e4m3" with a scale a row. Inputs and weights are e4m3.
    head: whether the layer that makes logits is one of them. A loss that is fused with that layer does not ask it.
    skip: parts of names of layers that stay.
    emulate: whether products are computed in fp32 from the rounded factors, on any device: for tests, and slow.

    Returns a `Float8Receipt`, which says what multiplies in 8 bits and what does not, and why.

    Raises ValueError for other options or where nothing is left to do, NotImplementedError for a device that has no
    8-bit products.
    """
    return install(model, scaling, gradients, head, skip, emulate)
