"""The losses as functions: what help() shows, and arguments by name."""

import inspect
import pickle

import pytest
import torch

from liger_kernel.chunked_loss import functional

NAMES = [name for name in vars(functional) if name.startswith("liger_fused_linear_")]


@pytest.mark.parametrize("name", NAMES)
def test_what_help_shows(name):
    function = getattr(functional, name)
    parameters = list(inspect.signature(function).parameters)
    assert "ctx" not in parameters and "weight" in "".join(parameters[:2]) and parameters[-1] == "budget_bytes"
    assert function.__name__ == name and function.__doc__ and pickle.loads(pickle.dumps(function)) is function


def test_arguments_by_name():
    x, w = torch.randn(4, 3, 8, requires_grad=True), torch.randn(11, 8)
    labels = torch.randint(0, 11, (4, 3))
    found = functional.liger_fused_linear_dpo(x, w, target=labels, beta=0.3, use_ref_model=False, loss_type="hinge")
    order = inspect.signature(functional.liger_fused_linear_dpo).bind(
        x, w, labels, beta=0.3, use_ref_model=False, loss_type="hinge"
    )
    order.apply_defaults()
    assert torch.equal(found[0], functional.liger_fused_linear_dpo(*order.args)[0])
    assert torch.autograd.grad(found[0], x)[0].any()
    with pytest.raises(TypeError, match="unexpected keyword argument 'betta'"):
        functional.liger_fused_linear_dpo(x, w, labels, betta=0.3)
