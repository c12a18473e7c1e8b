"""Multi-token attention against its formula in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import check_function
from conftest import random
from test_sparsemax import sparsemax

from liger_kernel.transformers import LigerMultiTokenAttention
from liger_kernel.transformers.functional import liger_multi_token_attention
from liger_kernel.transformers.functional import liger_sparsemax


@pytest.fixture(autouse=True)
def whole_digits(monkeypatch):
    """torch's convolution of fp32 on a GPU in fp32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def test_digits_are_whole():
    assert not torch.backends.cudnn.allow_tf32


def sparse_shares(scores, future, dtype):
    """Sparsemax of the past. Where a share is 0 by a rounding, either side's derivative is one: here that of ours."""
    # A finite number, whose differences are numbers; far below the others, so that its share is 0.
    values = sparsemax(scores.detach().masked_fill(future, -1e6))
    inside = liger_sparsemax(scores.detach().to(dtype).masked_fill(future, -torch.inf)) > 0
    level = (scores * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True)
    moving = (scores - level) * inside
    return values + moving - moving.detach()


def reference(sparse, dtype, scores, weight, bias, *options):
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    if sparse:
        shares = sparse_shares(scores, future, dtype)
    else:
        shares = scores.masked_fill(future, -torch.inf).softmax(-1)
    return F.conv2d(shares, weight, bias, *options).tril()


CASES = [
    # batch, channels in and out, length, kernel, groups
    (2, 4, 4, 8, 3, 1), (1, 2, 2, 5, 1, 1), (3, 6, 4, 17, 3, 2), (1, 1, 3, 1, 1, 1), (1, 2, 2, 33, 5, 2),
]  # fmt: skip


@pytest.mark.parametrize("batch, channels, out, length, kernel, groups", CASES)
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("biased", [True, False])
def test_multi_token_attention(device, dtype, batch, channels, out, length, kernel, groups, sparse, biased):
    options = 1, kernel // 2, 1, groups
    inputs = [
        random(batch, channels, length, length, device=device, dtype=dtype),
        random(out, channels // groups, kernel, kernel, device=device, dtype=dtype, scale=0.3),
        random(out, device=device, dtype=dtype) if biased else None,
    ]
    check_function(
        lambda *t: liger_multi_token_attention(*t, *options, sparse), lambda *t: reference(sparse, dtype, *t, *options),
        inputs, dtype, roundings=4, gradient_roundings=8,
        # Sums of upstream gradients and probabilities, of either sign.
        terms={
            0: lambda s, w, b, g: g.abs().amax() * w.abs().amax(), 2: lambda s, w, b, g: g.abs().sum((0, 2, 3)) / 4,
        },
    )  # fmt: skip


@pytest.mark.skipif(not torch.cuda.is_available(), reason="only GPUs have TF32")
def test_fewer_digits_would_be_seen(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with pytest.raises(AssertionError, match="of the largest element, bound"):
        test_multi_token_attention("cuda", torch.float32, 8, 64, 64, 64, 3, 1, False, False)


def test_dilation_and_stride(device):
    """Of a convolution that leaves as many keys as queries."""
    for options in ((1, 2, 2, 1), (2, 1, 1, 1), ((1, 1), (1, 1), (1, 1), 1)):
        inputs = [random(2, 2, 9, 9, device=device), random(3, 2, 3, 3, device=device), random(3, device=device)]
        check_function(
            lambda *t: liger_multi_token_attention(*t, *options), lambda *t: reference(False, None, *t, *options),
            inputs, torch.float32, terms={0: lambda s, w, b, g: g},
        )  # fmt: skip


@pytest.mark.parametrize("sparse", [False, True])
def test_the_future_changes_nothing(device, sparse):
    module = LigerMultiTokenAttention(2, 2, 1, sparse=sparse).to(device)
    scores = random(1, 2, 6, 6, device=device)
    changed = scores.detach() + 7 * torch.ones(6, 6, device=device).triu(1)
    changed[..., 0, 3] = torch.nan
    upstream = torch.randn(1, 2, 6, 6, device=device)
    assert torch.equal(module(changed), module(scores))
    changed.requires_grad_()
    found, expected = (torch.autograd.grad(module(s), s, upstream)[0] for s in (changed, scores))
    assert torch.equal(found, expected) and not found.triu(1).any()


def test_a_query_that_sees_nothing(device):
    scores = torch.zeros(1, 1, 3, 3, device=device)
    scores[0, 0, 1, :2] = -torch.inf
    scores.requires_grad_()
    weight = torch.ones(1, 1, 1, 1, device=device)
    for sparse in (False, True):
        y = liger_multi_token_attention(scores, weight, sparse=sparse)
        y.square().sum().backward()
        assert not y[0, 0, 1].any() and torch.isfinite(scores.grad).all()


def test_module(device, dtype):
    module = LigerMultiTokenAttention(4, 2, 3, padding=1, groups=2).to(device, dtype)
    scores = random(2, 4, 6, 6, device=device, dtype=dtype)
    assert module.weight.shape == (2, 2, 3, 3) and not module.bias.any()
    expected = liger_multi_token_attention(scores, module.weight, module.bias, 1, 1, 1, 2)
    assert torch.equal(module(scores), expected)
    assert LigerMultiTokenAttention(4, 2, 3, bias=False).bias is None


@pytest.mark.parametrize("sparse", [False, True])
def test_autocast(device, sparse):
    module = LigerMultiTokenAttention(2, 3, 3, padding=1, sparse=sparse).to(device)
    scores = random(1, 2, 5, 5, device=device)
    with torch.autocast(device, torch.bfloat16):
        y = module(scores)
    assert y.dtype == torch.bfloat16
    check_close(y, module(scores).double(), torch.bfloat16, 4)
    y.float().square().sum().backward()
    assert scores.grad.dtype == module.weight.grad.dtype == torch.float32


def test_refusals(device):
    for shape, padding in (((1, 1, 3, 4), 0), ((1, 1, 3, 3), (0, 1))):
        with pytest.raises(ValueError, match="as many keys"):
            liger_multi_token_attention(
                random(*shape, device=device), torch.ones(1, 1, 3, 3, device=device), padding=padding
            )


@pytest.mark.parametrize("sparse", [False, True])
def test_fullgraph(device, sparse):
    module = LigerMultiTokenAttention(2, 2, 3, padding=1, sparse=sparse).to(device)
    scores = random(1, 2, 5, 5, device=device)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    upstream, inputs = torch.randn(1, 2, 5, 5, device=device), [scores, *module.parameters()]
    found, expected = (torch.autograd.grad(f(scores), inputs, upstream) for f in (compiled, module))
    assert torch.equal(compiled(scores), module(scores)) and all(map(torch.equal, found, expected))
