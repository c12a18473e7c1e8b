"""Tensors whose sign is in the tensor and not in its memory, as that of a conjugated number's imaginary part is."""

import pytest
import torch

from conftest import random
from test_compile import CASES

from liger_kernel.ops.llama4_rope import LigerLlama4RopeFunction


def with_lazy_sign(tensor):
    """The same values, in memory with the other sign."""
    same = torch.complex(tensor, -tensor).conj().imag
    assert same.is_neg() and torch.equal(same, tensor)
    return same


@pytest.mark.parametrize("name", CASES)
def test_inputs_and_upstream_gradients(device, name):
    function, shapes = CASES[name]
    if name == "embedding" and device != "cpu":
        pytest.skip("its ids are on the CPU")
    inputs = [random(*shape, device=device) for shape in shapes]
    y = function(*inputs)
    upstream = torch.randn(y.shape, device=device)
    expected = torch.autograd.grad(y, inputs, upstream, allow_unused=True, retain_graph=True)
    found = torch.autograd.grad(y, inputs, with_lazy_sign(upstream), allow_unused=True)
    assert all(a is b or torch.equal(a, b) for a, b in zip(found, expected))
    for place, tensor in enumerate(inputs):
        given = [*inputs[:place], with_lazy_sign(tensor), *inputs[place + 1 :]]
        assert torch.equal(function(*given), y)


def test_conjugated_rotations(device):
    q, k = random(1, 3, 2, 8, device=device), random(1, 3, 1, 8, device=device)
    rotations = torch.polar(torch.ones(3, 4), torch.randn(3, 4)).to(device)
    found = LigerLlama4RopeFunction.apply(q, k, rotations.conj())
    expected = LigerLlama4RopeFunction.apply(q, k, rotations.conj().resolve_conj())
    assert all(map(torch.equal, found, expected))
