"""Formulas of the user's own in the place of ours, against the same formulas over whole logits in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from own_formulas import CLASSES
from own_formulas import COUNT
from own_formulas import HIDDEN
from own_formulas import LENGTH
from own_formulas import REST
from own_formulas import Answers
from own_formulas import Pairs
from own_formulas import Rows
from own_formulas import Samples
from own_formulas import check
from own_formulas import distances
from own_formulas import expected_of_pairs
from own_formulas import joined
from own_formulas import make
from own_formulas import of_chunk
from own_formulas import own
from own_formulas import pieces
from own_formulas import policy
from own_formulas import reverse_divergence
from own_formulas import signed
from own_formulas import squares
from own_formulas import written_over
from sequences import IGNORED
from sequences import Layer
from sequences import answers
from sequences import log_probabilities
from sequences import targets

from liger_kernel import chunked_loss


@pytest.mark.parametrize("formula", [squares, of_chunk])
@pytest.mark.parametrize("chunk_size", [1, 2, 7])
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("nll", ["none", "labels", "own"])
@pytest.mark.parametrize("has_reference", [False, True])
def test_pairs(device, dtype, formula, chunk_size, average, nll, has_reference):
    layer, labels = make(device, dtype, has_bias=not has_reference)
    other = Layer(COUNT, LENGTH, HIDDEN + 2, CLASSES, dtype, device, scale=0.3, grad=False) if has_reference else None
    nll_target = targets(COUNT, LENGTH, CLASSES, device, 0.1) if nll == "own" else None
    options = {"chunk_size": chunk_size, "average_log_prob": average, "alpha": 0.6, "compute_nll_loss": nll != "none"}
    options |= {"nll_target": nll_target, "beta": 0.3}
    if has_reference:
        options |= {"use_ref_model": True, "ref_input": other.input, "ref_weight": other.weight, "ref_bias": other.bias}
    found = own(Pairs, formula).apply(layer.input, layer.weight, labels, layer.bias, options)
    wanted = expected_of_pairs(
        layer, labels, formula, chunk_size, average, 0.6, nll != "none", other, nll_target, beta=0.3
    )
    check(found, wanted, layer, dtype, terms=wanted[1][:2])


def test_further_arguments(device):
    layer, labels = make(device)
    found = own(Pairs, squares).apply(layer.input, layer.weight, labels, layer.bias, {"shift": 0.2, "beta": 0.5})
    check(found, expected_of_pairs(layer, labels, squares, shift=0.2, beta=0.5), layer, torch.float32)
    with pytest.raises(TypeError, match="unknown"):
        own(Pairs, squares).apply(layer.input, layer.weight, labels, None, {"unknown": 1})


@pytest.mark.parametrize("chunk_size", [1, 3, 9])
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("has_reference", [False, True])
def test_answers(device, dtype, chunk_size, average, has_reference):
    layer, labels = make(device, dtype)
    other = Layer(COUNT, LENGTH, HIDDEN + 2, CLASSES, dtype, device, scale=0.3, grad=False) if has_reference else None
    good = torch.arange(COUNT, device=device) % 3 != 0
    options = {"chunk_size": chunk_size, "average_log_prob": average, "beta": 0.3}
    if has_reference:
        options |= {"use_ref_model": True, "ref_input": other.input, "ref_weight": other.weight, "ref_bias": other.bias}
    found = own(Answers, signed).apply(layer.input, layer.weight, labels, good, layer.bias, options)
    logits = layer.logits()
    log_probs = answers(logits, labels, average)
    given = () if other is None else (answers(other.logits(), labels, average).detach(),)
    parts = []
    for own_part, good_part, *refs in pieces(max(1, COUNT // chunk_size), log_probs, good, *given):
        parts.append(signed(own_part, good_part, labels, *refs, beta=0.3))
    loss, *results = joined(parts)
    sums = [x for part in (log_probs, logits.sum((1, 2))) for x in (part[good].sum(), part[~good].sum())]
    # Sums of logits of both signs cancel: their error is one of what is summed.
    for place in (2, 3):
        scale = logits.detach().abs().sum().item()
        assert abs(found[1][place].item() - sums[place].item()) <= 1e-6 * scale
    kept = [x.detach() for x in (*sums[:2], *found[1][2:4], *results)]
    check(found, (loss, kept), layer, dtype)


@pytest.mark.parametrize("chunk_size", [1, 4])
@pytest.mark.parametrize("reference", [None, "layer", "log-probabilities"])
@pytest.mark.parametrize("has_old", [False, True])
@pytest.mark.parametrize("ratio", [None, (COUNT,), (COUNT, 1), (COUNT, LENGTH)])
def test_policy(device, dtype, chunk_size, reference, has_old, ratio):
    layer, _ = make(device, dtype)
    ids = torch.randint(CLASSES, (COUNT, LENGTH), device=device)
    mask, A = (torch.rand(COUNT, LENGTH, device=device) < 0.8).long(), torch.randn(COUNT, device=device)
    other = Layer(COUNT, LENGTH, HIDDEN + 2, CLASSES, dtype, device, scale=0.3, grad=False)
    tokens = log_probabilities(layer.logits(), ids, 1.3)
    given = {"old_per_token_logps": (tokens.detach() + 0.3).float() if has_old else None}
    given["vllm_is_ratio"] = None if ratio is None else torch.rand(ratio, device=device)
    others = None
    if reference:
        others = log_probabilities(other.logits(), ids, 1.3).detach()
        given |= {"use_ref_model": True, "ref_input": other.input, "ref_weight": other.weight, "ref_bias": other.bias}
        if reference != "layer":
            given["ref_input"], given["ref_per_token_logps"] = None, others.float()
    options = {"chunk_size": chunk_size, "beta": 0.2, "loss_type": "my own", "temperature": 1.3, **given}
    found = own(Samples, policy).apply(layer.input, layer.weight, ids, mask, A, layer.bias, options)
    loss, metrics = policy(
        tokens, mask, A.double(), mask, None if not has_old else given["old_per_token_logps"].double(), others,
        None if ratio is None else given["vllm_is_ratio"].double().view(COUNT, -1), 0.2, **REST,
    )  # fmt: skip
    check(found, (loss, [x.detach() for x in metrics]), layer, dtype)


def test_module_of_policies(device):
    """GRPO's own function and module take a formula, and a loss type that only it knows."""
    layer, _ = make(device)
    ids, mask = torch.randint(CLASSES, (COUNT, LENGTH), device=device), torch.ones(COUNT, LENGTH, device=device)
    A = torch.randn(COUNT, device=device)
    made = type("Own", (chunked_loss.LigerFusedLinearGRPOLoss,), {"ppo_loss_fn": staticmethod(policy)})
    loss = made(beta=0.0, use_ref_model=False, loss_type="my own")
    found = loss(layer.input, layer.weight, ids, mask, A, layer.bias)
    wanted, metrics = policy(log_probabilities(layer.logits(), ids), mask, A.double(), mask, **REST)
    check(found, (wanted, [x.detach() for x in metrics]), layer, torch.float32)


@pytest.mark.parametrize("formula", [distances, reverse_divergence, written_over])
@pytest.mark.parametrize("chunk_size", [1, 3, 1024])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("weights", [(0.3, 0.7), (0.0, 1.0), (0.5, 0.0)])
@pytest.mark.parametrize("more", [0, 4])
def test_rows(device, dtype, formula, chunk_size, temperature, weights, more):
    """more: classes that the teacher has and the student has not."""
    student, labels = make(device, dtype, count=1, has_bias=bool(more))
    teacher = Layer(1, LENGTH, HIDDEN + 2, CLASSES + more, dtype, device, scale=0.3, grad=False)
    labels = labels[0]
    options = {"chunk_size": chunk_size, "temperature": temperature, "weight_hard_loss": weights[0]}
    options |= {"weight_soft_loss": weights[1], "return_soft_hard_loss": True}
    found = own(Rows, formula).apply(
        student.input[0], student.weight, teacher.input[0], teacher.weight, labels, student.bias, teacher.bias, options
    )
    z, u = student.logits(exact=True)[0], teacher.logits(exact=True)[0].detach()
    count = (labels != IGNORED).sum()
    soft = formula(F.pad(z / temperature, (0, more)), u / temperature, labels, IGNORED) / count
    hard = F.cross_entropy(z, labels, ignore_index=IGNORED, reduction="sum") / count
    wanted = weights[0] * hard + weights[1] * soft, [soft.detach(), hard.detach()]
    check((found[0], found[1:]), wanted, student, dtype)


def test_rows_without_labels_loss(device):
    """Only the loss where only it is asked for; sequences of rows as they are; further arguments."""
    student, labels = make(device, count=3)
    teacher = Layer(3, LENGTH, HIDDEN, CLASSES, torch.float32, device, scale=0.3, grad=False)
    options = {"compute_ce_loss": False, "power": 2.0, "chunk_size": 2}
    found = own(Rows, reverse_divergence).apply(
        student.input, student.weight, teacher.input, teacher.weight, labels, student.bias, teacher.bias, options
    )
    z, u = student.logits(exact=True), teacher.logits(exact=True).detach()
    soft = reverse_divergence(z, u, labels, IGNORED, power=2.0)
    check((found, ()), (0.5 * soft / (labels != IGNORED).sum(), ()), student, torch.float32)


def rows_of(student, teacher, labels):
    """The rows of a single sequence, and what else a loss of them takes."""
    tensors = (student.input[0], student.weight, teacher.input[0], teacher.weight, labels[0])
    return (*tensors, student.bias, teacher.bias)


def test_rows_of_a_module(device):
    student, labels = make(device, count=1)
    teacher = Layer(1, LENGTH, HIDDEN, CLASSES, torch.float32, device, scale=0.3, grad=False)
    made = type("Own", (chunked_loss.LigerFusedLinearJSDLoss,), {"distillation_loss_fn": staticmethod(distances)})()
    found = made(*rows_of(student, teacher, labels))
    z, count = student.logits(exact=True)[0], (labels != IGNORED).sum()
    soft = distances(z, teacher.logits(exact=True)[0].detach(), labels[0], IGNORED)
    hard = F.cross_entropy(z, labels[0], ignore_index=IGNORED, reduction="sum")
    check((found, ()), ((soft + hard) / 2 / count, ()), student, torch.float32)


@pytest.mark.parametrize("budget", [1, 3 * 8 * CLASSES, 1 << 20])
def test_rows_within_a_budget(device, budget):
    """As many rows at a time as a budget holds; not beside a size of chunks."""
    student, labels = make(device, count=1)
    teacher = Layer(1, LENGTH, HIDDEN, CLASSES, torch.float32, device, scale=0.3, grad=False)
    seen = []

    def formula(logits, *arguments, **options):
        seen.append(len(logits))
        return distances(logits, *arguments, **options)

    arguments = rows_of(student, teacher, labels)
    found = own(Rows, formula, checks_shares=False).apply(*arguments, {"budget_bytes": budget})
    plain = own(Rows, distances).apply(*arguments)
    check_close(found, plain.detach().double(), torch.float32)
    assert seen == {1: [1] * 5, 3 * 8 * CLASSES: [5], 1 << 20: [5]}[budget]
    with pytest.raises(ValueError, match="leave one out"):
        own(Rows, distances).apply(*arguments, {"budget_bytes": budget, "chunk_size": 2})


@pytest.mark.parametrize("accum_dtype", [torch.float32, torch.bfloat16])
def test_rows_summed_in_storage(device, accum_dtype):
    """The weight's gradient in the type that is asked for: its own is rounded chunk by chunk."""
    student, labels = make(device, torch.bfloat16, count=1)
    teacher = Layer(1, LENGTH, HIDDEN, CLASSES, torch.bfloat16, device, scale=0.3, grad=False)
    options = {"accum_dtype": accum_dtype, "chunk_size": 1}
    own(Rows, distances).apply(*rows_of(student, teacher, labels), options).backward()
    z, count = student.logits(exact=True)[0], (labels != IGNORED).sum()
    hard = F.cross_entropy(z, labels[0], ignore_index=IGNORED, reduction="sum")
    ((distances(z, teacher.logits(exact=True)[0].detach(), labels[0], IGNORED) + hard) / 2 / count).backward()
    roundings = 2.5 if accum_dtype == torch.float32 else 2.5 + LENGTH
    check_close(student.weight.grad, student.twins[1].grad, torch.bfloat16, roundings, "gradient of the weight")
    for dtype in (torch.bfloat16, torch.float16):
        student, _ = make(device, dtype, count=1)
        with pytest.raises(ValueError, match="accum_dtype"):
            own(Rows, distances).apply(*rows_of(student, teacher, labels), {"accum_dtype": torch.float16})


def test_rows_in_half_precision(device):
    """Gradients of fp16 meet a loss scale before they are rounded."""
    student, labels = make(device, torch.float16, count=1)
    teacher = Layer(1, LENGTH, HIDDEN, CLASSES, torch.float16, device, scale=0.3, grad=False)
    arguments = rows_of(student, teacher, labels)
    small, scale = own(Rows, lambda *a, **k: distances(*a, **k) * 2.0**-20), 2.0**14
    (small.apply(*arguments, {"weight_hard_loss": 0.0}) * scale).backward()
    z = student.logits(exact=True)[0]
    soft = distances(z, teacher.logits(exact=True)[0].detach(), labels[0], IGNORED) * 2.0**-20 * scale / 2
    (soft / (labels != IGNORED).sum()).backward()
    student.check_gradients(torch.float16)
