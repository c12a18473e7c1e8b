"""Multi-token attention (Golovneva et al., 2025): attention weights, mixed over neighbouring queries and keys."""

import torch
import torch.nn.functional as F

from torch.nn.modules.utils import _pair

from liger_kernel._operation import operation
from liger_kernel.ops._primitive import Function
from liger_kernel.ops._primitive import first_order
from liger_kernel.ops.sparsemax import _backward as _sparsemax_backward
from liger_kernel.ops.sparsemax import _forward as _sparsemax
from liger_kernel.ops.utils import autocast_dtype

_softmax = operation("softmax_forward")
_softmax_backward = operation("softmax_backward")


class LigerMultiTokenAttentionFunction(Function):
    """conv2d of the causal softmax of scores (B, C, L, L) over keys, or sparsemax, and 0 for keys after their query.

    The convolution is torch's, in the scores' type or autocast's; in TF32 on a GPU where
    torch.backends.cudnn.allow_tf32. Probabilities are computed in fp32 and rounded once; softmax reads the keys up to a
    query's own position alone, sparsemax a masked copy of the scores. Saved for the backward pass: probabilities and
    the weight. The weights of a query whose every score is -inf are 0.
    """

    @staticmethod
    def forward(ctx, scores, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, sparse=False):
        if scores.dim() != 4 or scores.shape[-1] != scores.shape[-2]:
            raise ValueError(f"scores must be (B, C, L, L), as many keys as queries; found {tuple(scores.shape)}")
        if sparse:
            future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            probabilities = _sparsemax(scores.masked_fill(future, -torch.inf))
        else:
            probabilities = _softmax(scores, True)
        dtype = autocast_dtype(scores.device.type)
        if dtype is not None:
            probabilities, weight = probabilities.to(dtype), weight.to(dtype)
            bias = None if bias is None else bias.to(dtype)
        ctx.convolution = _pair(stride), _pair(padding), _pair(dilation), groups
        ctx.sparse = sparse
        ctx.save_for_backward(probabilities, weight)
        out = F.conv2d(probabilities, weight, bias, *ctx.convolution)
        if out.shape[-1] != out.shape[-2]:
            raise ValueError(f"the convolution must leave as many keys as queries; found {tuple(out.shape)}")
        return out.tril()

    @staticmethod
    @first_order
    def backward(ctx, grad_out):
        probabilities, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.convolution
        needs = ctx.needs_input_grad
        grad, dweight, dbias = torch.ops.aten.convolution_backward(
            grad_out.tril(), probabilities, weight, [weight.shape[0]], stride, padding, dilation, False, [0, 0],
            groups, needs[:3],
        )  # fmt: skip
        if needs[0]:
            # Where a key comes after its query the probability is 0, and so is what follows from it.
            options = () if ctx.sparse else (True,)
            grad = (_sparsemax_backward if ctx.sparse else _softmax_backward)(grad, probabilities, *options)
        return grad, dweight, dbias, None, None, None, None, None
