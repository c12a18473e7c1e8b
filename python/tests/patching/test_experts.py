"""The experts of a mixture against one expert after the other in float64; on a GPU also by grouped products."""

import types

import pytest
import torch

from conftest import check_close

from liger_kernel.ops import fused_moe as module
from liger_kernel.ops.fused_moe import LigerFusedMoEFunction
from liger_kernel.transformers.experts import LigerExperts


def mixed(x, index, weights, gate_up, down):
    """sum_k w_k down_e (silu(gate_e x) up_e x) for the experts that are here."""
    result = torch.zeros_like(x)
    for token, choice in torch.nonzero(index < gate_up.shape[0]).tolist():
        expert = index[token, choice]
        gate, up = (gate_up[expert] @ x[token]).chunk(2)
        row = down[expert] @ (torch.nn.functional.silu(gate) * up)
        result = result.index_add(0, torch.tensor([token], device=x.device), (weights[token, choice] * row)[None])
    return result


def check(device, dtype, hidden, inner, tokens):
    """Results and gradients, where expert 3 gets nothing and number 5 lives elsewhere."""
    config = types.SimpleNamespace(num_experts=5, hidden_size=hidden, moe_intermediate_size=inner)
    experts = LigerExperts(config).to(device, dtype)
    with torch.no_grad():
        for weight in experts.parameters():
            weight.normal_(0, weight.shape[-1] ** -0.5)
    x = torch.randn(1, tokens, hidden, device=device, dtype=dtype, requires_grad=True)
    index = torch.tensor([0, 1, 2, 4, 5], device=device)[torch.randint(5, (tokens, 3), device=device)]
    weights = torch.rand(tokens, 3, device=device, requires_grad=True)
    found = experts(x, index, weights)
    assert torch.equal(LigerFusedMoEFunction.apply(x, *experts.parameters(), index.int(), weights), found)
    tensors = [x, weights, *experts.parameters()]
    twins = [t.detach().double().requires_grad_() for t in tensors]
    wanted = mixed(twins[0][0], index, *twins[1:])[None]
    assert found.dtype == dtype
    check_close(found, wanted, dtype, roundings=3.0)
    upstream = torch.randn_like(found)
    found.backward(upstream)
    if wanted.requires_grad:
        wanted.backward(upstream.double())
    for name, tensor, twin in zip(("x", "weights", "gate_up", "down"), tensors, twins):
        check_close(tensor.grad, twin.grad, dtype, roundings=4.0, what=name)


# Rows of 16 bytes' multiples, as the grouped product wants them, and others.
@pytest.mark.parametrize("hidden, inner", [(16, 24), (10, 7)])
@pytest.mark.parametrize("tokens", [1, 37])
def test_experts(device, dtype, hidden, inner, tokens):
    check(device, dtype, hidden, inner, tokens)


@pytest.mark.parametrize("hidden, inner, tokens", [(128, 64, 1), (256, 192, 157)])
def test_products_of_the_library(monkeypatch, device, dtype, hidden, inner, tokens):
    """The kernels' way, on any device: on a processor they run as they are."""
    calls = []
    if device == "cpu":
        monkeypatch.setattr(module, "multiplies_in_kernels", lambda *tensors: True)
    fits = module.fits_kernels
    monkeypatch.setattr(module, "fits_kernels", lambda *tensors: calls.append(tensors) or fits(*tensors))
    monkeypatch.setattr(module, "uses_grouped_product", None)
    if device == "cpu" or module.multiplies_in_kernels(torch.empty(1, device=device, dtype=dtype)):
        check(device, dtype, hidden, inner, tokens)
        assert calls


@pytest.mark.parametrize("find", ["expert_rows", "rows_by_kernels"])
def test_rows_of_experts(device, find):
    expert = torch.tensor([4, 0, 3, 0, 7, 3, -1, 3], device=device)
    place, source, of_block, starts, count = (each.tolist() for each in getattr(module, find)(expert, 5))
    assert place == [256, 0, 128, 1, -1, 129, -1, 130] and starts == [0, 1, 1, 1, 2, 3] and count == [384]
    assert of_block[:3] == [0, 3, 4] and len(source) == 128 * len(of_block)
    assert {row: choice for row, choice in enumerate(source) if choice >= 0} == {
        row: choice for choice, row in enumerate(place) if row >= 0
    }


def test_only_what_is_wanted_has_a_gradient(monkeypatch):
    monkeypatch.setattr(module, "multiplies_in_kernels", lambda *tensors: True)
    tensors = torch.randn(9, 128), torch.randn(2, 128, 128), torch.randn(2, 128, 64), torch.rand(9, 2)
    index = torch.randint(3, (9, 2))
    whole = [tensor.clone().requires_grad_() for tensor in tensors]
    module.fused_experts(*whole[:3], index, whole[3]).square().sum().backward()
    for number, tensor in enumerate(whole):
        some = [t.clone().requires_grad_(i == number) for i, t in enumerate(tensors)]
        module.fused_experts(*some[:3], index, some[3]).square().sum().backward()
        assert torch.equal(some[number].grad, tensor.grad), number
    with torch.no_grad():
        plain = module.fused_experts(*tensors[:3], index, tensors[3])
    assert torch.equal(plain, module.fused_experts(*whole[:3], index, whole[3]))


def test_products_of_the_library_compile(monkeypatch):
    monkeypatch.setattr(module, "multiplies_in_kernels", lambda *tensors: True)
    tensors = torch.randn(9, 128), torch.randn(2, 128, 128), torch.randn(2, 128, 64), torch.rand(9, 2)
    x, gate_up, down, weights = (each.requires_grad_() for each in tensors)
    index = torch.randint(3, (9, 2))

    def results(function):
        y = function(x, gate_up, down, index, weights)
        return [y, *torch.autograd.grad(y.square().sum(), tensors)]

    compiled = torch.compile(module.fused_experts, backend="aot_eager", fullgraph=True)
    for found, wanted in zip(results(compiled), results(module.fused_experts)):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    "dtype, autocast", [(torch.float32, False), (torch.bfloat16, False), (torch.float32, True), (torch.float16, True)]
)
def test_experts_compile_as_one_graph_on_every_device(device, dtype, autocast):
    """Also where groups' sizes are read: an expert that gets nothing, and one that is elsewhere."""
    if device == "cuda" and autocast and dtype is torch.float16:
        pytest.skip("compiled, torch's own gradient of an index takes no two 16-bit types under autocast")
    torch._dynamo.reset()
    tensors = torch.randn(9, 10), torch.randn(4, 14, 10), torch.randn(4, 10, 7), torch.rand(9, 2)
    tensors = [each.to(device, dtype).requires_grad_() for each in tensors]
    x, gate_up, down, weights = tensors

    def results(function, tokens):
        index = torch.tensor([0, 1, 3, 4], device=device)[torch.arange(2 * tokens, device=device) % 4].reshape(-1, 2)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=autocast):
            y = function(x[:tokens], gate_up, down, index, weights[:tokens])
        return [y, *torch.autograd.grad(y.float().square().sum(), tensors)]

    compiled = torch.compile(module.fused_experts, backend="aot_eager", fullgraph=True)
    for tokens in (9, 5):
        for found, wanted in zip(results(compiled, tokens), results(module.fused_experts, tokens)):
            assert found.dtype == wanted.dtype
            check_close(found, wanted.double(), torch.bfloat16 if autocast else dtype, roundings=4.0)


def test_experts_are_exported():
    class Experts(torch.nn.Module):
        def forward(self, *tensors):
            return module.fused_experts(*tensors)

    weights = torch.randn(4, 14, 10), torch.randn(4, 10, 7)
    tensors = torch.randn(9, 10), *weights, torch.randint(5, (9, 2)), torch.rand(9, 2)
    exported = torch.export.export(Experts(), tensors, strict=False).module()
    torch.testing.assert_close(exported(*tensors), module.fused_experts(*tensors))


class _Grouped(torch.autograd.Function):
    """A grouped product as a GPU's: rows beyond the last group keep what the memory held, here NaN."""

    @staticmethod
    def forward(ctx, rows, weight, ends):
        ctx.save_for_backward(rows, weight, ends)
        return _Grouped.product(rows, weight, ends)

    @staticmethod
    def product(rows, weight, ends):
        result = rows.new_full((rows.shape[0], weight.shape[-1]), torch.nan)
        for start, end, matrix in zip([0, *ends.tolist()], ends.tolist(), weight):
            result[start:end] = rows[start:end] @ matrix
        return result

    @staticmethod
    def backward(ctx, gradient):
        rows, weight, ends = ctx.saved_tensors
        groups = list(zip([0, *ends.tolist()], ends.tolist()))
        of_weight = torch.stack([rows[start:end].T @ gradient[start:end] for start, end in groups])
        return _Grouped.product(gradient, weight.transpose(-2, -1), ends), of_weight, None


def test_rows_that_a_grouped_product_leaves(monkeypatch, dtype):
    calls = []

    def grouped(rows, weight, offs):
        calls.append(offs)
        return _Grouped.apply(rows, weight, offs)

    monkeypatch.setattr(module, "uses_grouped_product", lambda rows, weight: True)
    monkeypatch.setattr(module.F, "grouped_mm", grouped, raising=False)
    check("cpu", dtype, 16, 24, 37)
    assert len(calls) == 4 and all(int(offs[-1]) < 37 * 3 for offs in calls), "no row was left"


def test_rows_beyond_are_left_out_under_function_transforms():
    rows, count = torch.randn(5, 3), torch.tensor(3)
    gradient = torch.func.grad(lambda x: (module._ZeroGradientBeyond.apply(x, count) ** 2).sum())(rows)
    assert torch.equal(gradient[:3], 2 * rows[:3]) and not gradient[3:].any()
