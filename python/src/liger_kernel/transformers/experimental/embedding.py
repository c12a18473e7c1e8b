"""An embedding table as a module."""

import torch

from torch import nn

from liger_kernel.ops.experimental.embedding import LigerEmbeddingFunction


class LigerEmbedding(nn.Module):
    """Rows of a table of `num_embeddings` by `embedding_dim`.

    `padding_idx` gives zeros, and its row, which starts as zeros, has no gradient; a negative one counts from the end.
    Raises ValueError for one outside of the table.
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None):
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx is {padding_idx}; give a row of the table of {num_embeddings}, or None")
        padding_idx = padding_idx if padding_idx is None else padding_idx % num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))
        if padding_idx is not None:
            with torch.no_grad():
                self.weight[padding_idx].fill_(0)

    def forward(self, indices):
        rows = LigerEmbeddingFunction.apply(self.weight, indices)
        if self.padding_idx is None:
            return rows
        return rows.masked_fill((indices == self.padding_idx).unsqueeze(-1), 0)
