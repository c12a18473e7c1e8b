"""Gated feed-forward modules for long sequences: one shard of tokens after the other."""

from typing import Optional

from liger_kernel.ops.tiled_mlp import apply_tiled_mlp
from liger_kernel.transformers.geglu import LigerGEGLUMLP
from liger_kernel.transformers.swiglu import LigerSwiGLUMLP


class LigerTiledSwiGLUMLP(LigerSwiGLUMLP):
    """`LigerSwiGLUMLP` by shards of the sequence, `num_shards` or as many as S / H."""

    def __init__(self, config, num_shards: Optional[int] = None):
        super().__init__(config)
        self.num_shards = num_shards

    def forward(self, x):
        return apply_tiled_mlp(LigerSwiGLUMLP.forward, self, x, self.num_shards)


class LigerTiledGEGLUMLP(LigerGEGLUMLP):
    """`LigerGEGLUMLP` by shards of the sequence, `num_shards` or as many as S / H."""

    def __init__(self, config, num_shards: Optional[int] = None):
        super().__init__(config)
        self.num_shards = num_shards

    def forward(self, x):
        return apply_tiled_mlp(LigerGEGLUMLP.forward, self, x, self.num_shards)
