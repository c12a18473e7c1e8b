"""Rows of a table by token id."""

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order

_forward = operation("embedding_forward")
_backward = operation("embedding_backward")


class LigerEmbeddingFunction(Function):
    """embeddings[indices]; the gradient sums over tokens in fp32 and in their order."""

    @staticmethod
    def forward(ctx, embeddings, indices):
        ctx.save_for_backward(indices)
        ctx.vocabulary = embeddings.shape[0]
        return _forward(embeddings, indices)

    @staticmethod
    @first_order
    def backward(ctx, grad_output):
        (indices,) = ctx.saved_tensors
        return _backward(grad_output, indices, ctx.vocabulary), None
