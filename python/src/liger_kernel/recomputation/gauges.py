"""Time and memory of a device."""

import time

import torch


class GaugeOfCPU:
    """Work is done when a call returns, and nobody counts memory."""

    counts_memory = False

    def mark(self):
        return time.perf_counter()

    def elapsed(self, start, end):
        """Milliseconds between two marks."""
        return (end - start) * 1e3

    def wait(self):
        pass

    def in_use(self):
        return 0

    def take_peak(self):
        return 0


class GaugeOfGPU:
    """Marks are events of the current stream. Taking the peak starts `torch.cuda.max_memory_allocated` anew."""

    counts_memory = True

    def __init__(self, device):
        self.device = device

    def mark(self):
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def elapsed(self, start, end):
        end.synchronize()
        return start.elapsed_time(end)

    def wait(self):
        """Until all that was handed out is done."""
        torch.cuda.synchronize(self.device)

    def in_use(self):
        return torch.cuda.memory_allocated(self.device)

    def take_peak(self):
        """The most that was in use since this was last called."""
        peak = torch.cuda.max_memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        return peak


def gauge_of(device):
    """Raises NotImplementedError for devices whose memory and time this does not know."""
    if device.type == "cpu":
        return GaugeOfCPU()
    if device.type == "cuda":
        return GaugeOfGPU(device)
    raise NotImplementedError(
        f"recompute() works on CPU and CUDA; found a block on '{device}'. Use the model's gradient checkpointing there"
    )
