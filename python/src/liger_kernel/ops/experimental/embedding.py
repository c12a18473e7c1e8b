"""Rows of a table by token id."""

import torch

from liger_kernel._call import call
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops._primitive import primitive


@primitive(
    "(Tensor table, Tensor ids) -> Tensor",
    lambda table, ids: table.new_empty((*ids.shape, table.shape[1])),
)
def _embedding_forward(table, ids):
    return call("embedding_forward", {"table": table.contiguous(), "ids": ids.contiguous()})["y"]


@primitive(
    "(Tensor dy, Tensor ids, SymInt vocabulary) -> Tensor",
    lambda dy, ids, vocabulary: dy.new_empty((vocabulary, dy.shape[-1])),
)
def _embedding_backward(dy, ids, vocabulary):
    tensors = {"dy": dy.contiguous(), "ids": ids.contiguous()}
    return call("embedding_backward", tensors, vocabulary=vocabulary)["dtable"]


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
