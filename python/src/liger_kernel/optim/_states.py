"""What an optimiser keeps for a parameter, on one device or in shards."""

import torch

# Elements of a scale of 8-bit states, as in the library; and the least that a tensor has whose states are in 8 bits.
BLOCK, LEAST = 256, 4096
ROUNDINGS = ("stochastic", "master", "nearest")


def local(tensor):
    """This rank's part of a distributed tensor; another as it is."""
    return tensor._local_tensor if hasattr(tensor, "device_mesh") and hasattr(tensor, "placements") else tensor


def flat(tensor):
    """All elements in their order in memory, as a view.

    Raises ValueError for a tensor with gaps or overlaps.
    """
    if tensor.is_contiguous():
        return tensor.view(-1)
    step = 1
    for stride, size in sorted((n, s) for s, n in zip(tensor.shape, tensor.stride()) if s != 1):
        step = step * size if stride == step else 0
    if step == 0:
        raise ValueError(
            f"AdamW updates tensors without gaps in memory; found shape {tuple(tensor.shape)} with strides "
            f"{tensor.stride()}. Make the parameter contiguous"
        )
    return tensor.as_strided((tensor.numel(),), (1,))


def has_codes(p, bits):
    """Whether a parameter's states are in 8 bits."""
    count = local(p).numel()
    return bits == 8 and count >= LEAST and count % BLOCK == 0 and _is_even(p)


def make(p, bits, rounding):
    """The state of a parameter before its first step, by torch's names."""
    state = {"step": 0}
    if has_codes(p, bits):
        for key in ("exp_avg", "exp_avg_sq"):
            state[key] = _distributed(p, torch.zeros_like(local(p), dtype=torch.uint8))
            state[f"{key}_scale"] = _distributed_scales(p)
    else:
        for key in ("exp_avg", "exp_avg_sq"):
            state[key] = torch.zeros_like(p, dtype=torch.float32, requires_grad=False)
    if rounding == "master" and p.dtype != torch.float32:
        state["master"] = p.detach().float()
    return state


def _is_even(p):
    """Whether all ranks have shards of one size: only then scales by block are a tensor in shards themselves."""
    if local(p) is p:
        return True
    sizes = list(p.shape)
    for ranks, placement in zip(p.device_mesh.shape, p.placements):
        if placement.is_shard():
            if sizes[placement.dim] % ranks:
                return False
            sizes[placement.dim] //= ranks
    return True


def _distributed(p, values):
    """Values like this rank's part of a parameter, as a tensor that is distributed like the parameter."""
    if local(p) is p:
        return values
    return type(p.data).from_local(
        values, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride()
    )


def _distributed_scales(p):
    count = local(p).numel() // BLOCK
    scales = torch.zeros(count, dtype=torch.float32, device=local(p).device)
    if local(p) is p:
        return scales
    from torch.distributed.tensor import Shard

    placements = [Shard(0) if placement.is_shard() else placement for placement in p.placements]
    return type(p.data).from_local(scales, p.device_mesh, placements, run_check=False)
