"""Training steps of a Hugging Face model, timed: what benchmarks of whole steps share."""

import statistics
import time


def measure(model, optimizer, ids, warmup, steps):
    """Trains on `ids`, which are their own labels, and times the steps after `warmup` others.

    Gives tokens/s of the median step, the host's time to hand out the median step in ms, the peak of
    `torch.cuda.max_memory_allocated` over the timed steps in GiB (0 without a GPU), and the last loss.
    """
    import torch

    has_gpu = ids.device.type == "cuda"
    wait = torch.cuda.synchronize if has_gpu else lambda: None
    times, host_times = [], []
    for step in range(warmup + steps):
        wait()
        if step == warmup and has_gpu:
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        host_times.append(time.perf_counter() - start)
        wait()
        times.append(time.perf_counter() - start)
        optimizer.zero_grad(set_to_none=True)
    return {
        "tokens_per_s": ids.numel() / statistics.median(times[warmup:]),
        "host_ms": statistics.median(host_times[warmup:]) * 1e3,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if has_gpu else 0.0,
        "loss": loss.item(),
    }
