"""Our own formulas as functions, which subclasses build on, beside the kernels that compute the same."""

import pytest
import torch

from conftest import check_close
from own_formulas import CLASSES
from own_formulas import COUNT
from own_formulas import HIDDEN
from own_formulas import LENGTH
from own_formulas import Pairs
from own_formulas import check
from own_formulas import expected_of_pairs
from own_formulas import make
from own_formulas import own
from sequences import IGNORED
from sequences import Layer
from sequences import answers
from sequences import log_probabilities

from liger_kernel import chunked_loss
from liger_kernel import launch_counts
from liger_kernel.chunked_loss.cosine_similarity_loss import LigerFusedLinearCosineSimilarityFunction
from liger_kernel.chunked_loss.cpo_loss import LigerFusedLinearCPOFunction
from liger_kernel.chunked_loss.dpo_loss import LOSS_TYPES
from liger_kernel.chunked_loss.dpo_loss import LigerFusedLinearDPOFunction
from liger_kernel.chunked_loss.fused_linear_distillation import LigerFusedLinearDistillationBase
from liger_kernel.chunked_loss.fused_linear_ppo import LigerFusedLinearPPOBase
from liger_kernel.chunked_loss.fused_linear_preference import LigerFusedLinearPreferenceBase
from liger_kernel.chunked_loss.fused_linear_unpaired_preference import LigerFusedLinearUnpairedPreferenceBase
from liger_kernel.chunked_loss.grpo_loss import LOSS_TYPES as GRPO_TYPES
from liger_kernel.chunked_loss.grpo_loss import LigerFusedLinearGRPOFunction
from liger_kernel.chunked_loss.jsd_loss import LigerFusedLinearJSDFunction
from liger_kernel.chunked_loss.kto_loss import LigerFusedLinearKTOFunction
from liger_kernel.chunked_loss.orpo_loss import LigerFusedLinearORPOFunction
from liger_kernel.chunked_loss.simpo_loss import LigerFusedLinearSimPOFunction


def delegate(base):
    """A subclass whose formula calls ours."""
    return own(base, lambda *a, **k: getattr(base, base.FORMULA)(*a, **k))


def check_same(found, wanted, layer):
    """Loss, results and gradients of a kernel and of the formula as torch has it."""
    for result in (found, wanted):
        assert result[0].requires_grad
    for a, b in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-5, atol=2e-6)
    gradients = []
    for loss in (found[0], wanted[0]):
        for tensor in layer.tensors:
            tensor.grad = None
        loss.backward()
        gradients.append([tensor.grad for tensor in layer.tensors])
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-5 * b.abs().max().item())


PAIRS = {
    **{kind: (LigerFusedLinearDPOFunction, {"loss_type": kind, "label_smoothing": 0.2, "discopop_tau": 0.5})
       for kind in LOSS_TYPES},
    "cpo": (LigerFusedLinearCPOFunction, {"label_smoothing": 0.2}),
    "simpo": (LigerFusedLinearSimPOFunction, {"label_smoothing": 0.2, "gamma": 0.3}),
    "orpo": (LigerFusedLinearORPOFunction, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("has_reference", [False, True])
def test_our_formulas_of_pairs(device, name, has_reference):
    base, options = PAIRS[name]
    if has_reference and base is not LigerFusedLinearDPOFunction:
        return
    layer, labels = make(device)
    options = {"compute_nll_loss": False, "beta": 0.3, "average_log_prob": name in ("simpo", "orpo"), **options}
    if has_reference:
        other = Layer(COUNT, LENGTH, HIDDEN, CLASSES, torch.float32, device, scale=0.3, grad=False)
        options |= {"use_ref_model": True, "ref_input": other.input, "ref_weight": other.weight, "ref_bias": other.bias}
    arguments = (layer.input, layer.weight, labels, layer.bias, options)
    kernel = own(Pairs, base.preference_loss_fn)
    launches = launch_counts().get("PairKernel", 0)
    wanted = kernel.apply(*arguments)
    assert launch_counts()["PairKernel"] > launches
    check_same(own(Pairs, lambda *a, **k: base.preference_loss_fn(*a, **k)).apply(*arguments), wanted, layer)


@pytest.mark.parametrize("name", ["simpo", "orpo"])
def test_our_formulas_of_sums(device, name):
    """The kernels of means do not serve sums: the formula runs itself."""
    base, options = PAIRS[name]
    layer, labels = make(device)
    options = options | {"average_log_prob": False, "compute_nll_loss": False}
    found = own(Pairs, base.preference_loss_fn).apply(layer.input, layer.weight, labels, layer.bias, options)
    arguments = {key: value for key, value in options.items() if key in ("label_smoothing", "gamma")}
    wanted = expected_of_pairs(layer, labels, base.preference_loss_fn, average=False, nll=False, **arguments)
    check(found, wanted, layer, torch.float32, terms=wanted[1][:2])


@pytest.mark.parametrize("kl", [None, 0.2])
def test_our_formula_of_answers(device, kl):
    layer, labels = make(device)
    good = torch.arange(COUNT, device=device) % 3 != 0
    given = None if kl is None else torch.tensor([kl], device=device)
    options = (None, None, None, given, IGNORED, 0.2, False, False)
    arguments = (layer.input, layer.weight, labels, good, layer.bias, *options)
    found = delegate(LigerFusedLinearKTOFunction).apply(*arguments)
    check_same(found, LigerFusedLinearKTOFunction.apply(*arguments), layer)


@pytest.mark.parametrize("kind", GRPO_TYPES)
@pytest.mark.parametrize(
    "options", [{}, {"level": "sequence"}, {"corrects": True}, {"delta": 1.1}, {"items": 7}], ids=str
)
@pytest.mark.parametrize("given", ["nothing", "all", "of tokens"])
def test_our_formula_of_policies(device, kind, options, given):
    if options.get("level") == "sequence" and kind in ("cispo", "sapo", "vespo"):
        return
    layer, labels = make(device)
    ids, mask, A = labels.clamp_min(0), (labels != IGNORED).long(), torch.randn(COUNT, device=device)
    old = reference = ratio = None
    if given != "nothing":
        near = log_probabilities(layer.logits(), ids).detach().float()
        old, reference = near + 0.3 * torch.randn_like(near), near + 0.3 * torch.randn_like(near)
        ratio = torch.rand(COUNT, LENGTH if given == "of tokens" else 1, device=device) + 0.5
    if given == "of tokens":
        # What is said of tokens that do not count may be anything.
        A = torch.randn(COUNT, LENGTH, device=device)
        A, old, reference, ratio = (x.masked_fill(mask == 0, torch.nan) for x in (A, old, reference, ratio))
    arguments = (
        layer.input, layer.weight, ids, mask, A, layer.bias, reference, old, None, None, None, 0.1, 0.2, 0.2, kind, 9,
        options.get("level", "token"), 1.0, 1.05, 1.2, False, reference is not None, 2, ratio, options.get("delta"),
        options.get("corrects", False), 2.0, 3.0, 3.0, 2.0, options.get("items"),
    )  # fmt: skip
    found = delegate(LigerFusedLinearGRPOFunction).apply(*arguments)
    check_same(found, LigerFusedLinearGRPOFunction.apply(*arguments), layer)


@pytest.mark.parametrize("base", [LigerFusedLinearJSDFunction, LigerFusedLinearCosineSimilarityFunction])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_our_formulas_of_rows(device, base, beta, temperature):
    student, labels = make(device, count=1)
    teacher = Layer(1, LENGTH, HIDDEN, CLASSES, torch.float32, device, scale=0.3, grad=False)
    arguments = (
        student.input[0], student.weight, teacher.input[0], teacher.weight, labels[0], student.bias, teacher.bias, 0.4,
        0.6, beta, IGNORED, temperature, False, 1024, True,
    )  # fmt: skip
    found, wanted = delegate(base).apply(*arguments), base.apply(*arguments)
    check_same((found[0], found[1:]), (wanted[0], wanted[1:]), student)


def test_replaced_parts(device, monkeypatch):
    """GRPO's formula is made of functions that somebody may replace on their own."""
    from liger_kernel.chunked_loss import grpo_loss

    layer, labels = make(device)
    ids, mask, A = labels.clamp_min(0), (labels != IGNORED).long(), torch.ones(COUNT, device=device)
    reference = log_probabilities(layer.logits(), ids).detach().float() + 1
    loss = chunked_loss.LigerFusedLinearGRPOLoss(beta=0.1)
    k3 = loss(layer.input, layer.weight, ids, mask, A, layer.bias, reference)[1][0]
    monkeypatch.setattr(grpo_loss, "k3_loss_fn", lambda p, q: (p - q) ** 2 / 2)
    k2 = loss(layer.input, layer.weight, ids, mask, A, layer.bias, reference)[1][0]
    check_close(k3, torch.tensor(torch.e - 2, dtype=torch.float64), torch.float32)
    check_close(k2, torch.tensor(0.5, dtype=torch.float64), torch.float32)


# Functions that formulas are made of.


def test_parts_of_policies():
    from liger_kernel.chunked_loss.grpo_loss import clip_coef_fn
    from liger_kernel.chunked_loss.grpo_loss import get_gamma_weights
    from liger_kernel.chunked_loss.grpo_loss import k3_loss_fn
    from liger_kernel.chunked_loss.grpo_loss import sapo_loss_fn

    x = torch.tensor([0.5, 0.9, 1.0, 1.5], requires_grad=True)
    torch.testing.assert_close(k3_loss_fn(x, 2 * x), (-x).exp() + x - 1)
    torch.testing.assert_close(sapo_loss_fn(x, 0.5), 8 / (1 + (-0.5 * (x - 1)).exp()))
    for temperature in (0, -1):
        with pytest.raises(ValueError, match="above 0"):
            sapo_loss_fn(x, temperature)
    clipped, low, high = clip_coef_fn(x, 0.2, 0.3, "grpo")
    torch.testing.assert_close(clipped, torch.tensor([0.8, 0.9, 1.0, 1.3]))
    assert clipped.requires_grad and low.tolist() == [True] + [False] * 3 and high.tolist() == [False] * 3 + [True]
    clipped, low, high = clip_coef_fn(x, 0.2, 1.2, "cispo")
    torch.testing.assert_close(clipped, torch.tensor([0.5, 0.9, 1.0, 1.2]))
    assert not clipped.requires_grad and low is False and high.tolist() == [False] * 3 + [True]
    for kind in ("sapo", "vespo"):
        clipped, low, high = clip_coef_fn(x, 0.2, 0.2, kind)
        assert clipped is None and not low.any() and not high.any()

    A, mask = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    ratios = torch.tensor([[0.1, -0.3, 9.0], [0.5, 9.0, torch.nan], [1.0, 1.0, 1.0]])
    log_w = torch.tensor([[-0.2], [0.5], [0.0]])

    def gamma(log_w, power, rate):
        return (rate + power * log_w - rate * log_w.exp()).exp()

    power, rate = torch.tensor([[2.0], [3.0], [2.0]]), torch.tensor([[3.0], [2.0], [3.0]])
    torch.testing.assert_close(get_gamma_weights(A, ratios, mask), gamma(log_w, power, rate))
    sampler = torch.tensor([[0.5], [2.0], [1.0]])
    wanted = gamma(log_w + sampler.log(), power, rate)
    torch.testing.assert_close(get_gamma_weights(A, ratios, mask, sampler), wanted)
    spread = torch.tensor([[0.5, 1.0, torch.nan], [2.0, torch.inf, 3.0], [5.0, 5.0, 5.0]])
    torch.testing.assert_close(get_gamma_weights(A, ratios, mask, spread), wanted)
    assert get_gamma_weights(A[:, None].expand(3, 3), ratios, mask).shape == (3, 3)
    assert get_gamma_weights(A, ratios + 1000, torch.ones_like(mask)).isfinite().all()


@pytest.mark.parametrize("average", [False, True])
def test_chunk_forward(device, average):
    """The bases' own step over a chunk, under autograd."""
    layer, labels = make(device)
    x, weight, bias = layer.tensors
    chosen, rejected, good_logits, bad_logits, nll = LigerFusedLinearPreferenceBase.chunk_forward(
        x, weight, labels, bias, average_log_prob=average
    )
    logits = layer.logits()
    wanted = answers(logits, labels, average)
    check_close(torch.cat([chosen, rejected]), wanted, torch.float32)
    check_close(torch.cat([good_logits, bad_logits]), logits, torch.float32)
    check_close(nll, -log_probabilities(logits[:3], labels[:3]).sum(), torch.float32)
    good = torch.arange(COUNT, device=device) % 2 == 0
    own_answers, *sums = LigerFusedLinearUnpairedPreferenceBase.chunk_forward(
        x, weight, labels, good, bias, average_log_prob=average
    )
    check_close(own_answers, wanted, torch.float32)
    parts = [p for part in (wanted, logits.sum((1, 2))) for p in (part[good].sum(), part[~good].sum())]
    for a, b in zip(sums, parts, strict=True):
        assert abs(a.item() - b.item()) <= 1e-6 * logits.detach().abs().sum().item()
    teacher, other, ce = LigerFusedLinearDistillationBase.chunk_forward(x, weight, x, weight, labels, bias, bias)
    assert teacher.requires_grad and not other.requires_grad
    check_close(ce, -log_probabilities(logits, labels).sum(), torch.float32)
    assert LigerFusedLinearDistillationBase.chunk_forward(x, weight, x, weight, labels, compute_ce_loss=False)[2] == 0


def test_chunk_forward_of_policies(device, dtype):
    """Log-probabilities without the logits, and their gradients; of what needs one."""
    layer, labels = make(device, dtype)
    ids = labels.clamp_min(0)
    found = LigerFusedLinearPPOBase.chunk_forward(layer.input, layer.weight, ids, layer.bias, temperature=0.7)
    wanted = log_probabilities(layer.logits(), ids, 0.7)
    check_close(found, wanted, torch.float32)
    upstream = torch.randn(COUNT, LENGTH, device=device)
    found.backward(upstream, retain_graph=True)
    wanted.backward(upstream.double())
    layer.check_gradients(dtype)
    alone = LigerFusedLinearPPOBase.chunk_forward(layer.input.detach(), layer.weight, ids)
    (gradient,) = torch.autograd.grad(alone.sum(), layer.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        gradient.sum().backward()
    with torch.no_grad():
        assert LigerFusedLinearPPOBase.chunk_forward(layer.input, layer.weight, ids).grad_fn is None
