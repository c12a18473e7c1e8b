"""Forward and backward functions without autograd, which other packages call: the values of autograd's."""

import pytest
import torch

from conftest import check_close
from conftest import random

from liger_kernel.ops import LigerFusedMoEFunction
from liger_kernel.ops import LigerJSDFunction
from liger_kernel.ops import LigerKLDivLossFunction
from liger_kernel.ops import LigerTiledMLPFunction
from liger_kernel.ops import LigerTVDLossFunction
from liger_kernel.ops import jsd_backward
from liger_kernel.ops import jsd_forward
from liger_kernel.ops.fused_add_rms_norm import torch_to_triton_dtype
from liger_kernel.ops.fused_moe import compute_routing_metadata
from liger_kernel.ops.kl_div import kldiv_backward_triton
from liger_kernel.ops.kl_div import kldiv_forward_triton
from liger_kernel.ops.layer_norm import layer_norm_backward
from liger_kernel.ops.layer_norm import layer_norm_forward
from liger_kernel.ops.tvd import tv_distance_forward_triton
from liger_kernel.ops.tvd import tvd_backward_triton


def distributions(device, count=2):
    return [random(6, 29, device=device, grad=False).log_softmax(-1) for _ in range(count)]


def labels(device):
    return torch.tensor([0, 3, -100, 5, -100, 2], device=device)


@pytest.mark.parametrize("has_label", [True, False])
def test_jsd(device, has_label):
    x, y = distributions(device)
    leaf, upstream = x.clone().requires_grad_(), torch.tensor(1.5, device=device)
    loss = LigerJSDFunction.apply(leaf, y, labels(device) if has_label else None, 0.3, -100)
    loss.backward(upstream)
    found, gradient = jsd_forward(x, y, labels(device), 0.3, -100, has_label)
    assert torch.equal(found, loss) and torch.equal(jsd_backward(gradient, upstream), leaf.grad)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.parametrize("has_label", [True, False])
def test_tvd(device, reduction, has_label):
    p, q = (d.exp() for d in distributions(device))
    leaf = p.clone().requires_grad_()
    loss = LigerTVDLossFunction.apply(leaf, q, labels(device) if has_label else None, reduction, -100)
    upstream = torch.randn_like(loss)
    loss.backward(upstream)
    found, gradient = tv_distance_forward_triton(p, q, labels(device), reduction, -100, has_label)
    assert torch.equal(found, loss) and torch.equal(tvd_backward_triton(upstream, gradient), leaf.grad)


@pytest.mark.parametrize("log_target", [True, False])
def test_kl_div(device, log_target):
    x, y = distributions(device)
    y = y if log_target else y.exp()
    for reduction in ("none", "mean", "batchmean"):
        wanted = LigerKLDivLossFunction.apply(x, y, reduction, log_target, 1e-10)
        assert torch.equal(kldiv_forward_triton(x, y, log_target, reduction, 1e-10), wanted)
    for upstream in (torch.tensor(0.5, device=device), torch.rand(6, 29, device=device)):
        given = torch.empty_like(x)
        assert kldiv_backward_triton(y, upstream, given, log_target) is given
        check_close(given, -(y.exp() if log_target else y).double() * upstream, torch.float32)


@pytest.mark.parametrize("tokens, experts, choices, tile", [(7, 4, 2, 3), (33, 5, 3, 64), (8, 6, 1, 1)])
def test_routing_metadata(device, tokens, experts, choices, tile):
    chosen = torch.rand(tokens, experts, device=device).topk(choices).indices.int()
    chosen[chosen == 1] = 0  # An expert that nobody chose.
    counts, starts, token, choice, row, tile_start, tile_expert = compute_routing_metadata(chosen, experts, tile)
    assert all(each.dtype == torch.int32 for each in (counts, starts, token, choice, row, tile_start, tile_expert))
    by_row = chosen.flatten()[choice.long()]
    assert torch.equal(by_row, by_row.sort().values) and torch.equal(token, choice // choices)
    assert torch.equal(row[choice.long()], torch.arange(tokens * choices, device=device, dtype=torch.int32))
    assert torch.equal(counts, torch.bincount(by_row, minlength=experts).int()) and counts[1] == 0
    assert torch.equal(starts[1:] - starts[:-1], counts)
    covered = [
        (expert, first)
        for expert in range(experts)
        for first in range(int(starts[expert]), int(starts[expert + 1]), tile)
    ]
    assert list(zip(tile_expert.tolist(), tile_start.tolist())) == covered


def test_compositions_under_functions_names(device):
    """What is no autograd Function here is called as one."""
    mlp = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.SiLU(), torch.nn.Linear(16, 8)).to(device)
    x = random(2, 12, 8, device=device)
    y = LigerTiledMLPFunction.apply(lambda module, shard: module(shard), mlp, x, 3, None)
    torch.testing.assert_close(y, mlp(x))
    rows, up, down = random(5, 8, device=device), random(3, 12, 8, device=device), random(3, 8, 6, device=device)
    index, weights = torch.tensor([[0], [2], [1], [0], [2]], device=device), torch.ones(5, 1, device=device)
    gate, value = (up[index[:, 0]] @ rows[..., None])[..., 0].chunk(2, -1)
    wanted = (down[index[:, 0]] @ (torch.nn.functional.silu(gate) * value)[..., None])[..., 0]
    torch.testing.assert_close(LigerFusedMoEFunction.apply(rows, up, down, index, weights), wanted)


def test_triton_types_say_why_there_are_none():
    with pytest.raises(RuntimeError, match="no Triton"):
        torch_to_triton_dtype[torch.bfloat16]


@pytest.mark.parametrize("needs", [{}, {"needs_dw": True}, {"needs_dw": False}, {"needs_dw": False, "needs_db": False}])
def test_gradients_of_a_norm_that_are_not_needed(device, needs):
    x, dy = (random(5, 8, device=device, grad=False) for _ in range(2))
    w, b = (random(8, device=device, grad=False) for _ in range(2))
    _, saved, mean, rstd, *_ = layer_norm_forward(x, w, b, 1e-6)
    expected = layer_norm_backward(dy, saved, w, b, mean, rstd)
    found = layer_norm_backward(dy, saved, w, b, mean, rstd, **needs)
    wanted = [True, needs.get("needs_dw", True), needs.get("needs_db", True)]
    assert [gradient is not None for gradient in found] == wanted
    assert all(torch.equal(a, b) for a, b in zip(found, expected) if a is not None)
