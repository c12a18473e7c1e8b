"""Upstream's set-up of native resources for fused losses and experts over several processes.

Upstream reserves memory for its optional package `liger_cute_kernels` here. The kernels of this library reserve
nothing beforehand and take their process groups with each call, so there is nothing to set up: `configure` checks what
it is given, says so, and answers False, as upstream does without that package.
"""

import warnings

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
from typing import Optional

__all__ = ["configure", "FusedLinearCrossEntropyConfig", "MoEConfig"]


@dataclass(frozen=True)
class FusedLinearCrossEntropyConfig:
    """The most that the fused linear cross entropy is called with, and its name in `process_groups`."""

    max_tokens: int
    hidden_size: int
    local_vocab_size: int
    group: Optional[str] = None
    tiles_per_reduce: int = 1


@dataclass(frozen=True)
class MoEConfig:
    """The most that a layer of experts is called with, the machines it is spread over, and its name in
    `process_groups`."""

    max_tokens: int
    hidden_size: int
    num_experts: int
    top_k: int
    num_hosts: int
    gpus_per_host: int
    group: Optional[str] = None
    max_inflight: int = 1


def configure(
    *,
    process_groups: Optional[Mapping] = None,
    bootstrap_group=None,
    device=None,
    flsce: Optional[FusedLinearCrossEntropyConfig] = None,
    moe: Optional[MoEConfig] = None,
) -> bool:
    """False and a warning: nothing was reserved, and every operation runs without.

    Raises ValueError for a capacity below 1 and for a group that `process_groups` does not name.
    """
    for name, config in (("flsce", flsce), ("moe", moe)):
        if config is not None:
            _check(name, config, process_groups or {})
    warnings.warn(
        "liger_kernel.ops.configure has nothing to set up: the kernels reserve no memory beforehand, and operations "
        "over several processes take their group with each call. All of them run without this call",
        UserWarning,
        stacklevel=2,
    )
    return False


def _check(name, config, process_groups):
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name != "group" and value < 1:
            raise ValueError(f"{name}: {field.name} must be at least 1; found {value}")
    if config.group is not None and config.group not in process_groups:
        known = ", ".join(sorted(process_groups)) or "none"
        raise ValueError(f"{name}: group is {config.group!r}, and process_groups names {known}")
