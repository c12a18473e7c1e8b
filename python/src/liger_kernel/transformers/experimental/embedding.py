"""An embedding table as a module."""

import torch

from torch import nn

from liger_kernel.ops.experimental.embedding import LigerEmbeddingFunction


class LigerEmbedding(nn.Module):
    """Rows of a table of `num_embeddings` by `embedding_dim`; the row `padding_idx` starts as zeros."""

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None):
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx].fill_(0)

    def forward(self, indices):
        return LigerEmbeddingFunction.apply(self.weight, indices)
