"""Gradients in fp16 under a loss scale, which the kernels do not know when they make them, against float64.

2,048 tokens that a layer is nearly certain of: their gradients for an upstream gradient of 1 are below fp16. What is
beyond it once it is scaled has to be infinite, as a GradScaler skips the step then.
"""

import pytest
import torch
import torch.nn.functional as F

from sequences import IGNORED
from sequences import Layer
from sequences import on_gpu
from sequences import targets
from test_distillation import divergence
from test_grpo import expected as expected_grpo
from test_kto import expected as expected_kto
from test_preference import dpo
from test_preference import expected as expected_pairs
from test_preference import log_odds
from test_preference import smoothed

from liger_kernel.chunked_loss import LigerFusedLinearCosineSimilarityLoss
from liger_kernel.chunked_loss import LigerFusedLinearCPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss
from liger_kernel.chunked_loss import LigerFusedLinearKTOLoss
from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearSimPOLoss
from liger_kernel.chunked_loss.dpo_loss import LOSS_TYPES as DPO_TYPES
from liger_kernel.chunked_loss.grpo_loss import LOSS_TYPES as GRPO_TYPES
from liger_kernel.ops.grpo_loss import GrpoLossFunction
from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
from liger_kernel.transformers import LigerFusedLinearJSD
from liger_kernel.transformers import LigerFusedLinearKLDivLoss

SCALES = [1.0, 2.0**16, 2.0**24]
COUNT, LENGTH, HIDDEN, CLASSES = 32, 64, 16, 64


@pytest.fixture(params=SCALES, ids=["1", "2^16", "2^24"])
def scale(request):
    return request.param


def certain(device, grad=True):
    """A layer and labels; numbers and logits are multiples of 1/4 that fp16 holds."""
    layer = Layer(COUNT, LENGTH, HIDDEN, CLASSES, torch.float16, device, grad=grad)
    labels = targets(COUNT, LENGTH, CLASSES, device, 0.1)
    with torch.no_grad():
        layer.weight.copy_(torch.where(layer.weight > 0, 1.0, -1.0))
        layer.input.copy_(layer.weight[labels.clamp_min(0)] * (0.75 - (torch.rand_like(layer.input) < 0.1) / 4))
        layer.bias.copy_((4 * layer.bias).round() / 4)
        for t, copy in zip(layer.tensors, layer.twins):
            copy.copy_(t)
    return layer, labels


def check_scaled(found, wanted, scale, pairs):
    """That losses' gradients are alike: within 0.4% of each row's length, and a step of fp16 from each number.

    pairs: tensors, and their copies in float64.
    """
    (found * scale).backward()
    (wanted * scale).backward()
    for t, copy in pairs:
        assert t.grad.dtype == t.dtype
        a, b = (x.grad.double().reshape(-1, x.shape[-1]) for x in (t, copy))
        bound = b.norm(dim=-1, keepdim=True) * 2**-8 + 2**-24 * b.shape[-1] ** 0.5
        beyond, held = b.abs() > 65520 + bound, b.abs() < 65504 - bound
        assert torch.equal(a[beyond], b[beyond].sign() * torch.inf), "numbers beyond fp16 are not infinite"
        worst = (torch.where(held, a - b, 0).norm(dim=-1, keepdim=True) / bound).max().item()
        assert worst <= 1, f"a row of {tuple(t.shape)} is {worst:.2g} times the bound off"


def check_layer(found, wanted, scale, layer):
    check_scaled(found, wanted, scale, zip(layer.tensors, layer.twins))


def as_multiplied(gradient):
    """A gradient of logits with the digits that fp16 has, each row by a power of two of its own."""
    exponent = gradient.abs().amax(-1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny).log2().floor()
    return (gradient * 2**-exponent).half().double() * 2**exponent


ENTROPIES = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "weights": {"ce_weight": True, "label_smoothing": 0.1, "lse_square_scale": 1e-4},
    "softcap": {"softcap": 16.0},
    "storage": {"accum_dtype": torch.float16},
    "chunks": {"budget_bytes": 4 * CLASSES * 300},
    "small sums": {"accum_dtype": torch.float16, "budget_bytes": 4 * CLASSES * 300},
}


def plain_entropy(logits, labels, reduction="mean", ce_weight=None, label_smoothing=0.0, softcap=None, z=0.0):
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    loss = F.cross_entropy(
        logits, labels, ce_weight, ignore_index=IGNORED, reduction=reduction, label_smoothing=label_smoothing
    )
    return loss + z * (logits.logsumexp(-1).square() * (labels != IGNORED)).sum() / (labels != IGNORED).sum()


@pytest.mark.parametrize("name", ENTROPIES)
def test_cross_entropy(device, name, scale):
    layer, labels = certain(device)
    options = dict(ENTROPIES[name])
    if "ce_weight" in options:
        options["ce_weight"] = 0.25 + 100.0 * (torch.arange(CLASSES, device=device) % 5)
    loss = LigerFusedLinearCrossEntropyLoss(**options)
    found = loss(layer.weight, layer.input.flatten(0, 1), labels.flatten(), layer.bias)
    plain = {n: v for n, v in options.items() if n in ("reduction", "label_smoothing", "softcap")}
    weight = options["ce_weight"].double() if "ce_weight" in options else None
    z = options.get("lse_square_scale", 0.0)
    wanted = plain_entropy(layer.logits().flatten(0, 1), labels.flatten(), ce_weight=weight, z=z, **plain)
    if name == "none":
        factor = (torch.arange(COUNT * LENGTH, device=device) % 7 - 3) / 4096
        found, wanted = (found * factor).sum(), (wanted * factor.double()).sum()
    # As trainers divide a sum by the items of a whole batch.
    items = 9 * COUNT * LENGTH if name == "sum" else 1
    check_layer(found / items, wanted / items, scale, layer)


def test_token_scaling(device, scale):
    layer, labels = certain(device)
    found = LigerFusedLinearCrossEntropyLoss(use_token_scaling=True)(
        layer.weight, layer.input.flatten(0, 1), labels.flatten(), layer.bias
    )
    lp = -F.cross_entropy(layer.logits().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none")
    check_layer(found, -(lp * lp.detach().exp()).sum() / (labels != IGNORED).sum(), scale, layer)


PAIRS = {kind: lambda c, r, a, b, kind=kind: dpo(kind, a, b, 0.2, 0.1, 0.5) for kind in DPO_TYPES} | {
    "cpo": lambda c, r, a, b: smoothed(a - b, 0.1),
    "simpo": lambda c, r, a, b: smoothed(a - b - 0.3, 0.1),
    "orpo": lambda c, r, a, b: -0.2 * F.logsigmoid(log_odds(c, r)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(device, name, scale):
    layer, labels = certain(device)
    arguments, other, alpha = [layer.weight, layer.input, labels, layer.bias], None, 1.0
    if name == "cpo":
        loss = LigerFusedLinearCPOLoss(beta=0.2, alpha=alpha, label_smoothing=0.1)
    elif name == "simpo":
        loss = LigerFusedLinearSimPOLoss(beta=0.2, gamma=0.3, label_smoothing=0.1, compute_nll_loss=False)
    elif name == "orpo":
        loss = LigerFusedLinearORPOLoss(beta=0.2, compute_nll_loss=False)
    else:
        loss = LigerFusedLinearDPOLoss(beta=0.2, loss_type=name, label_smoothing=0.1, discopop_tau=0.5)
        other = certain(device, grad=False)[0]
        arguments += [other.input, other.weight, other.bias]
    average = name in ("simpo", "orpo")
    wanted = expected_pairs(layer, labels, PAIRS[name], 0.2, alpha, name == "cpo", average, other)[0]
    if on_gpu(layer.weight):
        # Chosen and rejected answers may cancel to a 60th of their terms: rounding them is 1.5 times the bound there.
        layer.kept.register_hook(as_multiplied)
    check_layer(loss(*arguments)[0], wanted, scale, layer)


@pytest.mark.parametrize("average", [False, True])
def test_kto(device, average, scale):
    layer, labels = certain(device)
    good = torch.arange(COUNT, device=device) % 3 > 0
    loss = LigerFusedLinearKTOLoss(beta=0.2, use_ref_model=False, average_log_prob=average)
    found = loss(layer.input, layer.weight, labels, layer.bias, good)[0]
    check_layer(found, expected_kto(layer, labels, good, 0.2, average)[0], scale, layer)


def samples(layer, labels):
    """Tokens, mask, advantages, and the log-probabilities of two other policies."""
    ids, A = labels.clamp_min(0), torch.randn(COUNT, device=labels.device)
    lp = layer.logits().log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1).detach()
    return ids, (labels != IGNORED).long(), A, *((lp + 0.2 * torch.randn_like(lp)).float() for _ in range(2))


@pytest.mark.parametrize("kind", GRPO_TYPES)
def test_grpo(device, kind, scale):
    layer, labels = certain(device)
    batch = ids, mask, A, old, reference = samples(layer, labels)
    loss = LigerFusedLinearGRPOLoss(beta=0.1, loss_type=kind, max_completion_length=LENGTH + 3)
    found = loss(
        _input=layer.input, lin_weight=layer.weight, selected_token_ids=ids, attention_mask=mask, advantages=A,
        bias=layer.bias, old_per_token_logps=old, ref_per_token_logps=reference,
    )[0]  # fmt: skip
    check_layer(found, expected_grpo(layer.logits(), batch, kind, 0.1)[0], scale, layer)


@pytest.mark.parametrize("kind", GRPO_TYPES)
def test_grpo_of_logits(device, kind, scale):
    layer, labels = certain(device)
    # LUSPO's tokens that do not count are dealt with elsewhere.
    batch = ids, mask, A, old, reference = samples(layer, labels.clamp_min(0))
    logits = F.pad(layer.logits().detach(), (0, 0, 0, 1)).half().requires_grad_()
    copy = logits.detach().double().requires_grad_()
    found = GrpoLossFunction.apply(
        logits, old, reference, ids, A, mask, 1.0, 0.1, 0.2, 0.2, False, kind, LENGTH + 3
    )[0]
    check_scaled(found, expected_grpo(copy[:, :-1], batch, kind, 0.1)[0], scale, [(logits, copy)])


@pytest.mark.parametrize("name", ["jsd", "cosine", "hard"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_distillation(device, name, beta, scale):
    (layer, labels), (teacher, _) = certain(device), certain(device, grad=False)
    labels, z, u = labels.flatten(), layer.logits(exact=True).flatten(0, 1), teacher.logits(exact=True).flatten(0, 1)
    counts, hard = labels != IGNORED, 0.5 if name == "hard" else 0.0
    if name == "cosine":
        loss = LigerFusedLinearCosineSimilarityLoss(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=beta + 0.5)
        rows = (beta + 0.5) * (1 - F.cosine_similarity(z, u))
    else:
        loss = LigerFusedLinearJSDLoss(weight_hard_loss=hard, weight_soft_loss=1.0, beta=beta)
        rows = divergence(z, u, beta, 1.0)
    (x, w, b), (tx, tw, tb) = layer.tensors, teacher.tensors
    found = loss(x.flatten(0, 1), w, tx.flatten(0, 1), tw, labels, b, tb)
    wanted = (rows * counts).sum() / counts.sum()
    if hard:
        wanted = wanted + hard * F.cross_entropy(z, labels, ignore_index=IGNORED)
    check_layer(found, wanted, scale, layer)


def without_bias(layer):
    """Tensors of a layer, and its logits in float64."""
    return layer.tensors[:2], layer.twins[0].flatten(0, 1) @ layer.twins[1].T


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_linear_jsd(device, beta, scale):
    (layer, labels), (teacher, _) = certain(device), certain(device, grad=False)
    ((x, w), z), ((tx, tw), u) = without_bias(layer), without_bias(teacher)
    labels = labels.flatten()
    found = LigerFusedLinearJSD(jsd_beta=beta)(x.flatten(0, 1), w, tx.flatten(0, 1), tw, labels)
    rows = divergence(z, u, beta, 1.0) * (labels != IGNORED)
    check_scaled(found, rows.sum() / (labels != IGNORED).sum(), scale, zip((x, w), layer.twins))


@pytest.mark.parametrize("reduction", ["batchmean", "mean", "sum"])
def test_kl(device, reduction, scale):
    (layer, labels), (teacher, _) = certain(device), certain(device, grad=False)
    ((x, w), z), (_, u) = without_bias(layer), without_bias(teacher)
    probabilities, labels = u.softmax(-1).float(), labels.flatten()
    counts = labels != IGNORED
    found = LigerFusedLinearKLDivLoss(reduction=reduction)(x.flatten(0, 1), w, probabilities, labels)
    rows = F.kl_div(z.log_softmax(-1), probabilities.double(), reduction="none").sum(-1) * counts
    divisor = {"batchmean": counts.sum(), "mean": counts.sum() * CLASSES, "sum": 1}[reduction]
    check_scaled(found, rows.sum() / divisor, scale, zip((x, w), layer.twins))
