"""The functions that take an implementation's name: each is the operation of that name, whatever the name."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from conftest import random

from liger_kernel import functional
from liger_kernel.backends import ImplNotAvailableError
from liger_kernel.backends import available_impls

ROWS, COLUMNS, CLASSES = 6, 16, 29


def rotated(x, cos, sin):
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def cases(device):
    """Name -> (arguments, what they give)."""
    x, r, w, b = (random(*s, device=device) for s in [(ROWS, COLUMNS)] * 2 + [(COLUMNS,)] * 2)
    layer, y = random(CLASSES, COLUMNS, device=device), torch.randint(CLASSES, (ROWS,), device=device)
    logs, others = (random(ROWS, CLASSES, device=device).log_softmax(-1) for _ in range(2))
    q = random(1, 2, ROWS, 8, device=device)
    angles = torch.rand(1, ROWS, 4, device=device).repeat(1, 1, 2)
    cos, sin = angles.cos(), angles.sin()
    m = (0.5 * (logs.exp() + others.exp())).log()
    mixed = 0.5 * (logs.exp() * (logs - m) + others.exp() * (others - m)).sum() / ROWS
    s, t = (x @ layer.T).log_softmax(-1), (r @ layer.T).log_softmax(-1)
    n = (0.5 * (s.exp() + t.exp())).log()
    return {
        "rms_norm": ((x, w), F.rms_norm(x, (COLUMNS,), w, 1e-6)),
        "layer_norm": ((x, w), F.layer_norm(x, (COLUMNS,), w, None, 1e-6)),
        "softmax": ((x,), x.softmax(-1)),
        "swiglu": ((x, r), F.silu(x) * r),
        "geglu": ((x, r), F.gelu(x, approximate="tanh") * r),
        "rope": ((q, q, cos, sin), (rotated(q, cos, sin),) * 2),
        "cross_entropy": ((logs, y), (F.cross_entropy(logs, y), None, None, None)),
        "fused_add_rms_norm": ((x, r, w), (F.rms_norm(x + r, (COLUMNS,), w, 1e-6), x + r)),
        "fused_linear_cross_entropy": ((x, layer, y), (F.cross_entropy(x @ layer.T, y), None, None, None)),
        "jsd": ((logs, others), mixed),
        "kl_div": ((logs, others.exp()), F.kl_div(logs, others.exp(), reduction="batchmean")),
        "fused_linear_jsd": ((x, layer, r, layer), 0.5 * (s.exp() * (s - n) + t.exp() * (t - n)).sum() / ROWS),
    }


@pytest.mark.parametrize("name", functional.__all__)
def test_function(device, name):
    arguments, wanted = cases(device)[name]
    function = getattr(functional, name)
    for found in (function(*arguments), function(*arguments, impl="triton"), function(*arguments, backend="swift")):
        found, expected = (v if isinstance(v, tuple) else (v,) for v in (found, wanted))
        for a, b in zip(found, expected, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                check_close(a, b, torch.float32)
    assert available_impls(name) == ["swift"]
    with pytest.raises(ImplNotAvailableError, match=name):
        function(*arguments, impl="other")
    with pytest.raises(ValueError, match="mode"):
        function(*arguments, mode="fast")
    assert {"impl", "mode", "backend"} <= set(inspect.signature(function).parameters)
