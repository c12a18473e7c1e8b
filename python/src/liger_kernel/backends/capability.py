"""What an implementation needs of the machine: modules, a GPU, its compute capability."""

import importlib.util

from dataclasses import dataclass
from typing import Callable
from typing import Optional
from typing import Sequence
from typing import Tuple


@dataclass(frozen=True)
class Capability:
    """Conditions that must all hold; an empty one always does. Nothing is cached: each call asks again.

    min_cc, max_cc: the least and the most compute capability, (major, minor), both included; either needs CUDA.
    modules: names that must be importable. predicate: a last condition, asked where all others hold.
    """

    min_cc: Optional[Tuple[int, int]] = None
    max_cc: Optional[Tuple[int, int]] = None
    modules: Sequence[str] = ()
    requires_cuda: bool = False
    predicate: Optional[Callable[[], bool]] = None

    def is_satisfied(self, device=None) -> bool:
        """Whether all conditions hold on a device; None for the current one."""
        return self.reason_if_unsatisfied(device) is None

    def reason_if_unsatisfied(self, device=None) -> Optional[str]:
        """The first condition that does not hold, as a sentence; None if all do."""
        return self._missing_module() or self._unsuited_gpu(device) or self._refused()

    def _missing_module(self):
        for name in self.modules:
            try:
                found = importlib.util.find_spec(name) is not None
            except (ImportError, ValueError):
                found = False
            if not found:
                return f"the module {name!r} cannot be imported; install the package that has it"
        return None

    def _unsuited_gpu(self, device):
        if not self.requires_cuda and self.min_cc is None and self.max_cc is None:
            return None
        import torch

        if not torch.cuda.is_available() or getattr(device, "type", str(device or "cuda")).split(":")[0] != "cuda":
            return "CUDA is needed, and there is none for this device"
        found = tuple(torch.cuda.get_device_capability(device))
        if self.min_cc is not None and found < tuple(self.min_cc):
            return f"compute capability {_sm(self.min_cc)} or later is needed; the device has {_sm(found)}"
        if self.max_cc is not None and found > tuple(self.max_cc):
            return f"compute capability {_sm(self.max_cc)} or earlier is needed; the device has {_sm(found)}"
        return None

    def _refused(self):
        if self.predicate is None:
            return None
        try:
            return None if self.predicate() else "its predicate does not hold"
        except Exception as error:
            return f"its predicate raised {type(error).__name__}: {error}"


def _sm(capability):
    return "sm_{}{}".format(*capability)


# Serves every device that torch does.
PYTORCH_FALLBACK = Capability()
