"""Feed-forward modules computed shard by shard of the sequence: what lies between their products stays small."""

import torch

from torch.utils.checkpoint import checkpoint


def apply_tiled_mlp(fn, mlp_module, x, num_shards=None, compute_params=None):
    """fn(mlp_module, x) of x (.., S, H), one shard of S after the other; the backward pass computes a shard again.

    num_shards: S / H, rounded up, where it is not given. Gradients of parameters add up over the shards, through
    autograd, so that hooks of sharded training see them; `compute_params`, which upstream needs for that, is not read.
    """
    length, hidden = x.shape[-2:]
    count = max(1, -(-length // hidden)) if num_shards is None else num_shards
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"num_shards must be a whole number of at least 1; found {num_shards!r}")
    shards = x.chunk(min(count, max(1, length)), dim=-2)
    if not torch.is_grad_enabled():
        return torch.cat([fn(mlp_module, shard) for shard in shards], dim=-2)
    return torch.cat([checkpoint(fn, mlp_module, shard, use_reentrant=False) for shard in shards], dim=-2)


class LigerTiledMLPFunction:
    """`apply_tiled_mlp` under the name of upstream's autograd Function, which is called by `apply`."""

    @staticmethod
    def apply(fn, mlp_module, x, shards, compute_params=None):
        return apply_tiled_mlp(fn, mlp_module, x, shards, compute_params)
