"""Tensors of a torch for AMD's GPUs, whose device torch calls "cuda" too.

No AMD GPU has run this: `torch.version.hip` and what reaches the GPU are stood in for.
"""

import pytest
import torch

from liger_kernel import _call
from liger_kernel import _library
from liger_kernel.recomputation import gauges
from liger_kernel.transformers import fallback


class TensorOnGPU:
    """What the path to the library asks of a tensor."""

    device = torch.device("cuda", 1)
    shape, dtype = torch.Size((2, 4)), torch.float32
    is_cpu, is_cuda = False, True

    def stride(self):
        return (4, 1)

    def get_device(self):
        return 1

    def data_ptr(self):
        return 0x7000

    def contiguous(self):
        return self


@pytest.fixture
def rocm(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4.43482")
    monkeypatch.setattr(fallback, "_IS_NVIDIA", False)


def test_numbers_of_devices(rocm):
    assert _call.device_index(TensorOnGPU()) == 1
    assert [_library.device_number(index) for index in (-1, 0, 1)] == [-1, 65536, 65537]


def test_numbers_of_nvidias():
    assert [_library.device_number(index) for index in (-1, 0, 1)] == [-1, 0, 1]


def test_the_library_is_asked_for_amds(rocm):
    """Without HIP, its absence is the message; on a machine with one GPU, that there is no second."""
    with pytest.raises(RuntimeError, match="HIP|there is no GPU 1"):
        _call.prepare("softmax_forward", {"x": TensorOnGPU()}, {})


def test_runs_in_torchs_stream(rocm, monkeypatch):
    """One entry into the library: the handle of the call, of torch's stream, and the addresses."""
    monkeypatch.setattr(_call, "_raw_stream", lambda index: 0x5000 + index)
    monkeypatch.setattr(_call, "_allocator", lambda device: lambda *layout: torch.empty(2, 4))
    entered = []

    class Prepared:
        handle, input_count, input_sizes, workspace = 0x1234, 1, [8], 0
        outputs = [("y", (2, 4), torch.float32)]
        pack = staticmethod(lambda *words: words)

        @staticmethod
        def enter(words):
            entered.append(words)
            return 0

    (y,) = _call.runner(Prepared(), TensorOnGPU.device)(TensorOnGPU())
    assert entered == [(0x1234, 0x5001, 2, 0x7000, y.data_ptr())]


@pytest.mark.parametrize(
    "architecture, is_taken",
    [("gfx942:sramecc+:xnack-", True), ("gfx1100", True), ("gfx1030", False), ("gfx906:sramecc-:xnack-", False)],
)
def test_takes_what_has_kernels(rocm, monkeypatch, architecture, is_taken):
    """Modules fall back to torch on GPUs that no kernels are written for."""

    class Properties:
        gcnArchName = architecture

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    monkeypatch.setattr(fallback, "has_memory", lambda tensor: True)
    fallback._has_kernels.cache_clear()
    assert fallback.takes(TensorOnGPU()) is is_taken
    fallback._has_kernels.cache_clear()


def test_recomputes(rocm, monkeypatch):
    monkeypatch.setattr(gauges, "GaugeOfGPU", lambda device: device)
    assert gauges.gauge_of(TensorOnGPU.device) == TensorOnGPU.device
