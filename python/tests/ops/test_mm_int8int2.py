"""Products of int8 matrices with packed weights: exact."""

import pytest
import torch

from liger_kernel.ops.experimental.mm_int8int2 import get_autotune_config
from liger_kernel.ops.experimental.mm_int8int2 import matmul
from liger_kernel.ops.experimental.mm_int8int2 import pack_weights
from liger_kernel.ops.experimental.mm_int8int2 import unpack_weights


@pytest.mark.parametrize("shape", [(8,), (4, 3), (12, 2, 5), (5, 3), (1,), (0, 3)])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int32])
def test_weights_come_back(device, shape, dtype):
    weights = torch.randint(-1, 3, shape, device=device, dtype=dtype)
    kept = weights.clone()
    packed = pack_weights(weights)
    assert packed.dtype == torch.uint8 and packed.shape == (-(-shape[0] // 4), *shape[1:])
    found = unpack_weights(packed)
    assert torch.equal(found[: shape[0]], kept.int()) and found.shape == (4 * packed.shape[0], *shape[1:])
    assert (found[shape[0] :] == -1).all() and torch.equal(weights, kept)


def test_the_layout(device):
    """The first rows are in the lowest bits."""
    assert pack_weights(torch.tensor([-1, 0, 1, 2], device=device)).tolist() == [0b11_10_01_00]
    packed = torch.tensor([0b01_00_10_11, 0b00_00_00_01], dtype=torch.uint8, device=device)
    assert unpack_weights(packed).tolist() == [2, 0, 1, -1, -1, -1, 0, -1]


@pytest.mark.parametrize("rows, inner, columns", [(1, 4, 1), (7, 64, 33), (0, 8, 3), (2, 1 << 18, 3)])
def test_products(device, rows, inner, columns):
    a = torch.randint(-128, 128, (rows, inner), dtype=torch.int8, device=device)
    packed = torch.randint(0, 256, (inner // 4, columns), dtype=torch.uint8, device=device)
    found = matmul(a, packed)
    expected = a.double() @ unpack_weights(packed).double()
    assert found.dtype == torch.int32 and torch.equal(found.double(), expected)


def test_the_largest_sums(device):
    """Of more terms than fp32 adds exactly, one of them odd."""
    a = torch.full((1, (1 << 17) + 4), -128, dtype=torch.int8, device=device)
    a[0, 0] = 1
    packed = torch.full((a.shape[1] // 4, 1), 255, dtype=torch.uint8, device=device)
    assert matmul(a, packed).item() == 2 - 256 * (a.shape[1] - 1)


def test_refusals():
    a, packed = torch.ones(2, 8, dtype=torch.int8), torch.ones(2, 3, dtype=torch.uint8)
    with pytest.raises(AssertionError, match="Incompatible dimensions"):
        matmul(a[:, :4].contiguous(), packed)
    with pytest.raises(AssertionError, match="must be contiguous"):
        matmul(a.T.contiguous().T, packed)
    for function in (pack_weights, unpack_weights):
        with pytest.raises(ValueError, match="bits=4"):
            function(packed, 4)
    with pytest.raises(RuntimeError, match="no Triton kernels"):
        get_autotune_config()
