"""Keeping results in the host's memory: sent there while the forward pass goes on, fetched a block ahead of need.

Copies run on a stream of their own, beside the products, and take no multiprocessor. What comes back has the bits that
were sent.
"""

from __future__ import annotations

import functools

from collections import defaultdict
from dataclasses import dataclass
from typing import Optional

import torch

from torch.multiprocessing.reductions import StorageWeakRef


@dataclass
class Sent:
    """A result in the host's memory. `storage`: weak, of the one that was sent; `fetched`: it is on the GPU again."""

    buffer: torch.Tensor
    like: torch.Tensor
    storage: StorageWeakRef
    address: int
    fetched: Optional[torch.Tensor] = None
    is_ready: Optional[torch.cuda.Event] = None


class Host:
    """Pinned memory for results of one GPU, and the stream that copies.

    Buffers are used again from step to step. All copies are on one stream, so a buffer is read before it is written.
    """

    def __init__(self, device):
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.spare = defaultdict(list)

    def send(self, tensor):
        """Starts to copy a contiguous tensor, whose memory is free for others when that is done."""
        spare = self.spare[tensor.nbytes]
        buffer = spare.pop() if spare else torch.empty(tensor.nbytes, dtype=torch.uint8, pin_memory=True)
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            buffer.copy_(tensor.detach().view(-1).view(torch.uint8), non_blocking=True)
        tensor.record_stream(self.stream)
        storage = tensor.untyped_storage()
        return Sent(buffer, tensor.new_empty(tensor.shape, device="meta"), StorageWeakRef(storage), storage._cdata)

    def fetch(self, sent):
        """Starts to copy back; `take` waits for it."""
        if sent.fetched is not None:
            return
        sent.fetched = torch.empty(sent.like.shape, dtype=sent.like.dtype, device=self.device)
        # The memory may be in use by what was handed out before.
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            sent.fetched.view(-1).view(torch.uint8).copy_(sent.buffer, non_blocking=True)
        sent.is_ready = self.stream.record_event()

    def take(self, sent):
        """The result on the GPU, once work that follows on the current stream may read it."""
        self.fetch(sent)
        torch.cuda.current_stream(self.device).wait_event(sent.is_ready)
        self.give_up(sent)
        return sent.fetched

    def give_up(self, sent):
        if sent.is_ready is not None:
            # Memory that is still written to is not to be another tensor's.
            torch.cuda.current_stream(self.device).wait_event(sent.is_ready)
        self.spare[sent.buffer.nbytes].append(sent.buffer)


@functools.cache
def bytes_per_ms(device):
    """How fast a GPU copies to pinned memory; measured once, in some 10 ms."""
    size = 128 << 20
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    target.copy_(source, non_blocking=True)
    events[0].record()
    target.copy_(source, non_blocking=True)
    events[1].record()
    events[1].synchronize()
    return size / events[0].elapsed_time(events[1])
