"""What is bound on a model: which module runs which kernel, which does not, and why."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from dataclasses import field
from typing import List
from typing import Optional


class PatchError(RuntimeError):
    """Raised by `strict=True` when something that was asked for is not running on a kernel."""


@dataclass(frozen=True)
class Entry:
    """One module or function. `switch` is the flag it belongs to; without a `kernel`, `reason` says why not."""

    switch: str
    target: str
    kernel: Optional[str] = None
    reason: Optional[str] = None
    # What the module was before, so that many of a kind print as one line.
    kind: str = ""


@dataclass
class Receipt:
    """The result of patching, read from what is bound; `str()` prints it, `kernels` and `missing` are its halves."""

    family: str
    scope: str
    entries: List[Entry] = field(default_factory=list)

    @property
    def kernels(self) -> dict:
        """Module or function -> the kernel it runs."""
        return {entry.target: entry.kernel for entry in self.entries if entry.kernel}

    @property
    def missing(self) -> dict:
        """Module or function -> why it runs no kernel."""
        return {entry.target: entry.reason for entry in self.entries if not entry.kernel}

    def of(self, switch: str) -> List[Entry]:
        return [entry for entry in self.entries if entry.switch == switch]

    def __str__(self) -> str:
        lines = [f"Liger kernels of {self.family} ({self.scope}):"]
        groups: OrderedDict = OrderedDict()
        for entry in self.entries:
            key = (entry.switch, entry.kernel, entry.reason, entry.kind)
            groups.setdefault(key, []).append(entry.target)
        for (switch, kernel, reason, kind), targets in groups.items():
            what = f"{kind}: {targets[0]}" if kind and kind != targets[0] else targets[0]
            more = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
            lines.append(f"  {switch:<26} {kernel or '-':<28} {what}{more}" + (f" ({reason})" if reason else ""))
        return "\n".join(lines) if self.entries else lines[0] + " none"


OFF = "switched off"
NOTHING = "nothing was found to patch"


def require(receipt: Receipt, flags: dict) -> None:
    """Raises `PatchError` unless every switch that is on bound a kernel and left none of its modules out."""
    problems = []
    for switch, wanted in flags.items():
        if not wanted:
            continue
        entries = receipt.of(switch)
        if not any(entry.kernel for entry in entries):
            reasons = "; ".join(f"{entry.target}: {entry.reason}" for entry in entries if entry.reason != NOTHING)
            problems.append(f"{switch}: {NOTHING}" + (f" ({reasons})" if reasons else ""))
            continue
        problems += [f"{switch}: {entry.target}: {entry.reason}" for entry in entries if not entry.kernel]
    if problems:
        raise PatchError(
            f"strict=True: not all of what was asked for runs on Liger kernels in {receipt.family}:\n  "
            + "\n  ".join(problems)
            + "\nturn those switches off, or leave strict out to go on with the rest"
        )
