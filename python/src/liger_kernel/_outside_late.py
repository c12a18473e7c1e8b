"""The functions of `_outside` as torch.compile skips them, by name. Importing this loads torch's compiler."""

import torch

from liger_kernel import _outside


def take(name, function, reason):
    """Adds a function under a name of this module, by which a trace finds it."""
    try:
        disabled = torch._dynamo.disable(function, reason=reason)
    except TypeError:  # A release that gives no reasons.
        disabled = torch._dynamo.disable(function)
    globals()[name] = disabled


for _each in _outside.marked:
    take(*_each)
