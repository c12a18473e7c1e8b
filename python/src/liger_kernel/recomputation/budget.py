"""Budgets: what a user writes, and what a device has."""

import os

import torch

from liger_kernel._sizes import bytes_of

AUTO = "auto"
# Of a GPU's memory, what an automatic budget leaves to the gaps between allocations and to other libraries.
_SPARED_OF_GPU = 0.06
# Of the memory that the system has free for the CPU.
_SPARED_OF_SYSTEM = 0.25


def parsed(budget):
    """A budget in bytes, or AUTO. Raises ValueError for anything else."""
    if budget == AUTO:
        return AUTO
    budget = bytes_of(budget)
    is_number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
    if not is_number or not 0 < budget < 2**62:
        raise ValueError(f"budget must be 'auto', bytes above 0, or text such as '80GiB'; found {budget!r}")
    return int(budget)


def parsed_of_host(budget):
    """What the host's memory may hold, in bytes; 0 is none of it. Raises ValueError for anything else."""
    if budget == 0 and not isinstance(budget, bool):
        return 0
    if budget == AUTO:
        raise ValueError("host_budget must be 0, bytes, or text such as '16GiB'; found 'auto'")
    return parsed(budget)


def resolved(budget, device):
    """The bytes of a budget on a device. Raises ValueError for more than a GPU has."""
    if device.type != "cuda":
        return int(_free_of_system() * (1 - _SPARED_OF_SYSTEM)) if budget == AUTO else budget
    free, total = torch.cuda.mem_get_info(device)
    if budget == AUTO:
        return int(free + torch.cuda.memory_reserved(device) - _SPARED_OF_GPU * total)
    if budget > total:
        raise ValueError(f"budget is {text(budget)}, and {device} has {text(total)}. Give less, or 'auto'")
    return budget


def _free_of_system():
    if os.path.exists("/proc/meminfo"):
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    raise ValueError("budget='auto' needs to know the system's free memory, which only Linux tells; give it in bytes")


def text(count):
    """Bytes for people."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(count) >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"
