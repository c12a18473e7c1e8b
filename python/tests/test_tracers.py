"""Tracers that record what torch's own operations do, and would take a kernel's result for a constant."""

import pytest
import torch

from conftest import random
from test_compile import CASES
from test_second_derivatives import LOSSES
from torch.fx.experimental.proxy_tensor import make_fx


def residual(name):
    """An operation whose result is added to an input, so that tracers find that results depend on inputs."""
    function, shapes = (CASES | LOSSES)[name]
    return lambda *x: function(*x).sum() + x[0].sum(), shapes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("name", [*CASES, *LOSSES])
def test_tracers_are_refused(name, records):
    function, shapes = residual(name)
    inputs = tuple(random(*shape, grad=records) for shape in shapes)
    with torch.set_grad_enabled(records):
        # Known to the package from a call before.
        function(*inputs)
        with pytest.raises(RuntimeError, match="torch.jit.trace, which older ONNX exporters use too"):
            torch.jit.trace(function, inputs, check_trace=False)
        with pytest.raises(RuntimeError, match="make_fx records what tensors do"):
            make_fx(function)(*inputs)
        function(*inputs)
