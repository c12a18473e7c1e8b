"""Second derivatives, which there are none of: refused whichever way autograd is asked for them.

Autograd calls what it is not asked for unused, and gives zeros or nothing for it: a term of the loss would be missing.
"""

import pytest
import torch

from conftest import random
from test_compile import CASES

from liger_kernel.chunked_loss import LigerFusedLinearCosineSimilarityLoss
from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss
from liger_kernel.chunked_loss import LigerFusedLinearKTOLoss
from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss
from liger_kernel.transformers.functional import liger_fused_linear_jsd
from liger_kernel.transformers.functional import liger_fused_linear_kl_div
from liger_kernel.transformers.functional import liger_fused_linear_scaled_cross_entropy

SHAPES = [(2, 3, 6), (8, 6)]


def tokens(x):
    return torch.arange(x.shape[:-1].numel(), device=x.device).view(x.shape[:-1])


def grpo(x, w):
    ones = torch.ones(x.shape[:2], device=x.device)
    return LigerFusedLinearGRPOLoss(use_ref_model=False, beta=0.0)(x, w, tokens(x), ones, ones[:, 0])[0]


LOSSES = {
    "dpo": (lambda x, w: LigerFusedLinearDPOLoss(use_ref_model=False)(w, x, tokens(x))[0], SHAPES),
    "orpo": (lambda x, w: LigerFusedLinearORPOLoss()(w, x, tokens(x))[0], SHAPES),
    "kto": (
        lambda x, w: LigerFusedLinearKTOLoss()(x, w, tokens(x), None, torch.tensor([True, False], device=x.device))[0],
        SHAPES,
    ),
    "grpo": (grpo, SHAPES),
    "distillation_jsd": (
        lambda x, w: LigerFusedLinearJSDLoss()(x, w, x.detach() * 2, w.detach(), tokens(x)), [(4, 6), (8, 6)],
    ),
    "distillation_cosine": (
        lambda x, w: LigerFusedLinearCosineSimilarityLoss()(x, w, x.detach() * 2, w.detach(), tokens(x)),
        [(4, 6), (8, 6)],
    ),
    "linear_jsd": (lambda x, w: liger_fused_linear_jsd(x, w, x.detach() * 2, w.detach()), [(4, 6), (8, 6)]),
    "linear_kl_div": (
        lambda x, w: liger_fused_linear_kl_div(x, w, torch.full((4, 8), 0.125, device=x.device)), [(4, 6), (8, 6)],
    ),
    "scaled_cross_entropy": (
        lambda x, w: liger_fused_linear_scaled_cross_entropy(x, w, tokens(x)), [(4, 6), (8, 6)],
    ),
}  # fmt: skip

WAYS = {
    "added to the loss": lambda loss, term, inputs: torch.autograd.grad(loss + term, inputs, allow_unused=True),
    "alone": lambda loss, term, inputs: torch.autograd.grad(term, inputs, allow_unused=True),
    "backward": lambda loss, term, inputs: term.backward(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("are_leaves", [True, False])
@pytest.mark.parametrize("name", [*CASES, *LOSSES])
def test_every_way_is_refused(device, name, are_leaves, way):
    """Of leaves and of what is computed from them."""
    function, shapes = (CASES | LOSSES)[name]
    if name == "embedding" and device != "cpu":
        pytest.skip("its ids are on the CPU")
    inputs = [random(*shape, device=device) for shape in shapes]
    if not are_leaves:
        inputs = [x * 1.5 for x in inputs]
    loss = function(*inputs).square().sum()
    gradients = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
    term = sum(g.square().sum() for g in gradients if g is not None)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        WAYS[way](loss, term, inputs)


def test_functions_of_torch(device):
    """They leave out what is unused, too."""
    function, shapes = CASES["rms_norm"]
    inputs = tuple(random(*shape, device=device) for shape in shapes)
    for derivative in (
        lambda: torch.autograd.functional.hessian(lambda *x: function(*x).square().sum(), inputs),
        lambda: torch.autograd.functional.hvp(lambda *x: function(*x).square().sum(), inputs, inputs),
        lambda: torch.autograd.functional.jvp(function, inputs, inputs),
    ):
        with pytest.raises(RuntimeError, match="cannot be differentiated again"):
            derivative()


def test_what_leads_to_no_second_derivative_is_none():
    """A graph that is kept for it, gradients that are used as numbers, and tensors that the operation has not met."""
    function, shapes = CASES["rms_norm"]
    x, w = (random(*shape) for shape in shapes)
    other = random(3)
    loss = function(x, w).square().sum() * other.sum()
    gradient = torch.autograd.grad(loss, x, create_graph=True)[0]
    total = loss + gradient.detach().sum() + other.square().sum()
    expected = torch.autograd.grad(function(x, w).square().sum() * other.sum() + other.square().sum(), (x, other))
    assert all(map(torch.equal, torch.autograd.grad(total, (x, other)), expected))
