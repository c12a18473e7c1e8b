"""Rows of a table by token id."""

import torch

from liger_kernel._call import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive

_forward = operation("embedding_forward", "table, ids", "y")
_backward = operation("embedding_backward", "dy, ids", "dtable", "vocabulary")


@primitive(
    "(Tensor table, Tensor ids) -> Tensor",
    lambda table, ids: table.new_empty((*ids.shape, table.shape[1])),
    _forward,
)
def _embedding_forward(table, ids):
    return _forward(table, ids)


@primitive(
    "(Tensor dy, Tensor ids, SymInt vocabulary) -> Tensor",
    lambda dy, ids, vocabulary: dy.new_empty((vocabulary, dy.shape[-1])),
    _backward,
)
def _embedding_backward(dy, ids, vocabulary):
    return _backward(dy, ids, vocabulary)


class LigerEmbeddingFunction(Function):
    """embeddings[indices]; the gradient sums over tokens in fp32 and in their order."""

    @staticmethod
    def forward(ctx, embeddings, indices):
        ctx.save_for_backward(indices)
        ctx.vocabulary = embeddings.shape[0]
        return _embedding_forward(embeddings, indices)

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        (indices,) = ctx.saved_tensors
        return _embedding_backward(grad_output, indices, ctx.vocabulary), None
