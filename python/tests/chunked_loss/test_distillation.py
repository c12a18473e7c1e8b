"""Losses beside a teacher against their formulas in float64."""

import pytest
import torch
import torch.nn.functional as F

from conftest import check_close
from sequences import IGNORED
from sequences import as_stored
from sequences import check_layer_gradients
from sequences import factor

from liger_kernel import ops
from liger_kernel.chunked_loss import LigerFusedLinearCosineSimilarityLoss
from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss
from liger_kernel.chunked_loss.functional import liger_fused_linear_cosine
from liger_kernel.chunked_loss.functional import liger_fused_linear_jsd
from liger_kernel.transformers import LigerFusedLinearJSD
from liger_kernel.transformers import LigerFusedLinearKLDivLoss
from liger_kernel.transformers import functional

LOSSES = {"jsd": LigerFusedLinearJSDLoss, "cosine": LigerFusedLinearCosineSimilarityLoss}


def divergence(z, u, beta, temperature):
    """Of each row."""
    log_q, log_p = (z / temperature).log_softmax(-1), (u / temperature).log_softmax(-1)
    q, p = log_q.exp(), log_p.exp()
    if beta == 0:
        return (p * (log_p - log_q)).sum(-1)
    if beta == 1:
        return (q * (log_q - log_p)).sum(-1)
    m = (beta * p + (1 - beta) * q).log()
    return (beta * p * (log_p - m) + (1 - beta) * q * (log_q - m)).sum(-1)


class Models:
    """A student and a teacher, with the student's copy in float64."""

    def __init__(self, dtype, device, rows=7, classes=61, more=0, has_bias=True, scale=0.3):
        make = {"device": device, "dtype": dtype}
        self.student = [factor(rows, 16, scale=scale, **make), factor(classes, 16, **make)]
        self.student.append(factor(classes, **make) if has_bias else None)
        teacher = [factor(rows, 24, scale=scale, **make), factor(classes + more, 24, **make)]
        teacher.append(factor(classes + more, **make) if has_bias else None)
        self.teacher = [t if t is None else t.detach() for t in teacher]
        self.twins = [t if t is None else t.detach().double().requires_grad_() for t in self.student]
        self.labels = torch.randint(classes, (rows,), device=device)
        self.labels[1::3] = IGNORED

    def logits(self):
        """The student's, whose gradient is kept, and the teacher's."""
        made = []
        for x, weight, bias in (self.twins, [t if t is None else t.double() for t in self.teacher]):
            made.append(x @ weight.T + (0 if bias is None else bias))
        self.kept = made[0] = as_stored(made[0], self.student[1], exact=True)
        return made

    def run(self, loss):
        (x, w, b), (tx, tw, tb) = self.student, self.teacher
        return loss(x, w, tx, tw, self.labels, b, tb)

    def check_gradients(self, dtype, upstream=1.0):
        check_layer_gradients(self.student, self.twins, self.kept, dtype, upstream)


def expected(kind, models, hard_weight, soft_weight, beta, temperature):
    z, u = models.logits()
    counts = models.labels != IGNORED
    n = counts.sum().clamp_min(1)
    hard = F.cross_entropy(z, models.labels, ignore_index=IGNORED, reduction="sum") / n
    z = F.pad(z, (0, u.shape[1] - z.shape[1]))
    rows = divergence(z, u, beta, temperature) if kind == "jsd" else beta * (1 - F.cosine_similarity(z, u))
    soft = (rows * counts).sum() / n
    return hard_weight * hard + soft_weight * soft, soft, hard


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.0, 1.0), (0.3, 0.9)])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("has_bias", [False, True])
def test_losses(device, dtype, kind, weights, beta, more, has_bias):
    models = Models(dtype, device, more=more, has_bias=has_bias)
    temperature = 1.7 if has_bias else 1.0
    options = {"weight_hard_loss": weights[0], "weight_soft_loss": weights[1], "beta": beta, "temperature": temperature}
    found = models.run(LOSSES[kind](return_soft_hard_loss=True, **options))
    wanted = expected(kind, models, *weights, beta, temperature)
    for name, a, b in zip(("loss", "soft", "hard"), found, wanted, strict=True):
        assert a.dtype == torch.float32 and a.shape == ()
        assert abs(a.item() - b.item()) <= 4e-6 * max(1.0, abs(b.item())), name
    loss = models.run(LOSSES[kind](**options))
    assert torch.equal(loss, found[0])
    if weights[0] == 0 and kind == "cosine" and beta == 0:
        loss.backward()
        return
    (2 * loss).backward()
    (2 * wanted[0]).backward()
    models.check_gradients(dtype, upstream=2)


@pytest.mark.parametrize("kind", LOSSES)
def test_nothing_counts(device, kind):
    models = Models(torch.float32, device)
    models.labels[:] = IGNORED
    loss = models.run(LOSSES[kind]())
    loss.backward()
    assert loss.item() == 0 and all(bool((t.grad == 0).all()) for t in models.student)


@pytest.mark.parametrize("kind", LOSSES)
def test_extreme_logits(device, kind):
    models = Models(torch.float32, device, scale=60.0)
    loss = models.run(LOSSES[kind]())
    loss.backward()
    wanted = expected(kind, models, 0.5, 0.5, 0.5, 1.0)[0]
    if bool(wanted.isfinite()):
        check_close(loss, wanted, torch.float32, what="loss")
    assert bool(loss.isfinite()) and all(bool(t.grad.isfinite().all()) for t in models.student)


def test_functional_and_refusals(device):
    models = Models(torch.float32, device)
    (x, w, b), (tx, tw, tb) = models.student, models.teacher
    for function, kind in ((liger_fused_linear_jsd, "jsd"), (liger_fused_linear_cosine, "cosine")):
        found = function(x, w, tx, tw, models.labels, b, tb, 0.2, 0.8, 0.4, -100, 1.3, False, 3, True)
        module = LOSSES[kind](0.2, 0.8, 0.4, -100, 1.3, False, 3, True)
        assert all(torch.equal(*pair) for pair in zip(found, models.run(module), strict=True))
        with pytest.raises(AssertionError):
            function(x, w, tx, tw, models.labels, b, tb, 0.2, 0.8, 0.4, -100, 0.0)
    with pytest.raises(ValueError):
        models.run(LigerFusedLinearJSDLoss(beta=1.5))
    with pytest.raises(ValueError):
        models.run(LigerFusedLinearJSDLoss(chunk_size=0))
    with pytest.raises(AssertionError):
        LigerFusedLinearJSD(temperature=0.0)
    with pytest.raises(AssertionError):
        LigerFusedLinearJSD()(x, w, tx, tw, models.labels[:-1])
    with pytest.raises(ValueError):
        functional.liger_fused_linear_jsd(x, w, tx, tw, None, accum_dtype=torch.float16)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("has_labels", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_fused_linear_jsd(device, dtype, beta, has_labels, temperature):
    models = Models(dtype, device, has_bias=False)
    (x, w, _), (tx, tw, _) = models.student, models.teacher
    labels = models.labels if has_labels else None
    loss = LigerFusedLinearJSD(beta, -100, temperature)(x, w, tx, tw, labels)
    rows = divergence(*models.logits(), beta, temperature)
    counts = torch.ones_like(rows) if labels is None else (labels != IGNORED)
    wanted = (rows * counts).sum() / counts.sum()
    assert loss.dtype == torch.float32
    assert abs(loss.item() - wanted.item()) <= 4e-6 * max(1.0, wanted.item())
    loss.backward(retain_graph=True)
    wanted.backward()
    models.check_gradients(dtype)
    first = x.grad.clone()
    x.grad = None
    loss.backward()
    assert torch.equal(x.grad, first)
    assert torch.equal(functional.liger_fused_linear_jsd(x, w, tx, tw, labels, beta, -100, temperature), loss)


@pytest.mark.parametrize("reduction", ["batchmean", "mean", "sum"])
@pytest.mark.parametrize("has_labels", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_fused_linear_kl_div(device, dtype, reduction, has_labels, temperature):
    models = Models(dtype, device, has_bias=False)
    (x, w, _), labels = models.student, models.labels if has_labels else None
    teacher = torch.randn(7, 61, device=device).softmax(-1).to(dtype)
    loss = LigerFusedLinearKLDivLoss(reduction, temperature=temperature)(x, w, teacher, labels)
    logs = (models.logits()[0] / temperature).log_softmax(-1)
    counts = torch.ones(7, device=device) if labels is None else (labels != IGNORED).double()
    rows = F.kl_div(logs, teacher.double(), reduction="none").sum(-1) * counts
    wanted = rows.sum() / {"batchmean": counts.sum(), "mean": counts.sum() * 61, "sum": 1}[reduction]
    assert loss.dtype == torch.float32 and loss.shape == ()
    assert abs(loss.item() - wanted.item()) <= 4e-6 * max(1.0, wanted.item())
    (0.7 * loss).backward(retain_graph=True)
    (0.7 * wanted).backward()
    models.check_gradients(dtype)
    first = w.grad.clone()
    w.grad = None
    (0.7 * loss).backward()
    assert torch.equal(w.grad, first)


def test_fused_linear_kl_div_of_nothing(device):
    models = Models(torch.float32, device, has_bias=False)
    (x, w, _), labels = models.student, torch.full((7,), IGNORED, device=device)
    teacher = torch.randn(7, 61, device=device).softmax(-1)
    for reduction in ("batchmean", "mean", "sum"):
        loss = LigerFusedLinearKLDivLoss(reduction)(x, w, teacher, labels)
        loss.backward()
        assert loss.item() == 0 and bool((w.grad == 0).all())
    with pytest.raises(ValueError, match="reduction"):
        LigerFusedLinearKLDivLoss("none")(x, w, teacher, labels)
    with pytest.raises(AssertionError):
        LigerFusedLinearKLDivLoss(temperature=0.0)(x, w, teacher, labels)


@pytest.mark.parametrize("has_labels", [False, True])
@pytest.mark.parametrize("needs_weight", [False, True])
@pytest.mark.parametrize("reduction", [None, "batchmean", "mean", "sum"])
def test_forward_and_backward_of_linear_losses(device, dtype, has_labels, needs_weight, reduction):
    """Outside of autograd: gradients for an upstream gradient of 1, and these times another. No reduction: the JSD."""
    models = Models(dtype, device, has_bias=False)
    (x, w, _), (tx, tw, _) = models.student, models.teacher
    w.requires_grad_(needs_weight)
    teacher, counts = torch.randn(7, 61, device=device).softmax(-1).to(dtype), models.labels != IGNORED
    counts = counts if has_labels else torch.ones_like(counts)
    z, u = models.logits()
    if reduction is None:
        found = ops.fused_linear_jsd_forward(x, w, tx, tw, models.labels, 0.3, IGNORED, has_labels, 1.5)
        wanted = (divergence(z, u, 0.3, 1.5) * counts).sum() / counts.sum()
        backward = ops.fused_linear_jsd_backward
    else:
        found = ops.fused_linear_kl_div_forward(
            x, w, teacher, models.labels, reduction, IGNORED, has_labels, 1.5, 1e-10
        )
        rows = F.kl_div((z / 1.5).log_softmax(-1), teacher.double(), reduction="none").sum(-1) * counts
        wanted = rows.sum() / {"batchmean": counts.sum(), "mean": counts.sum() * 61, "sum": 1}[reduction]
        backward = ops.fused_linear_kl_div_backward
    loss, *gradients = found
    assert loss.dtype == torch.float32 and loss.shape == () and not loss.requires_grad
    assert abs(loss.item() - wanted.item()) <= 4e-6 * max(1.0, wanted.item())
    assert (gradients[1] is not None) == needs_weight
    wanted.backward()
    scaled = backward(torch.tensor(2.0, device=device), *(g if g is None else g.clone() for g in gradients))
    for once, twice in zip(gradients, scaled):
        assert once is twice is None or torch.equal(2 * once, twice)
    x.grad, w.grad = gradients
    models.student = [x, w if needs_weight else None, None]
    check_layer_gradients(models.student, models.twins, models.kept, dtype)


def test_linear_losses_by_other_names(device):
    models = Models(torch.float32, device, has_bias=False)
    (x, w, _), labels = models.student, models.labels
    teacher = torch.randn(7, 61, device=device).softmax(-1)
    found = functional.liger_fused_linear_kl_div(x, w, teacher, labels, "mean", IGNORED, 2.0, 1e-8, torch.float32)
    module = LigerFusedLinearKLDivLoss("mean", IGNORED, 2.0, 1e-8, torch.float32)
    assert torch.equal(found, module(x, w, teacher, labels))
    assert "reduction=mean, ignore_index=-100, temperature=2.0" in repr(module)
    for wrong in ({"reduction": "none"}, {"accum_dtype": torch.float16}):
        with pytest.raises(ValueError, match="reduction|accum_dtype"):
            functional.liger_fused_linear_kl_div(x, w, teacher, labels, **wrong)
    with pytest.raises(ValueError, match="reduction"):
        ops.fused_linear_kl_div_forward(x, w, teacher, labels, "none", IGNORED, True, 1.0, 1e-10)
    with pytest.raises(AssertionError, match="shape of shift_labels"):
        ops.fused_linear_kl_div_forward(x, w, teacher, labels[1:], "sum", IGNORED, True, 1.0, 1e-10)


@pytest.mark.parametrize("kind", ["fused", "jsd", "cosine", "kl"])
def test_students_near_their_teachers(device, dtype, kind):
    """Their gradients are far below 16-bit roundings of their logits, which were 7 to 15% of them."""
    torch.manual_seed(5)
    x = factor(9, 64, dtype=dtype, device=device, scale=2.0)
    w = factor(200, 64, dtype=dtype, device=device)
    tw = (w.detach() + factor(200, 64, dtype=dtype, device=device, scale=0.1).detach()).detach()
    twins = [t.detach().double().requires_grad_() for t in (x, w)]
    z, u = twins[0] @ twins[1].T, x.detach().double() @ tw.double().T
    probabilities, labels = u.softmax(-1).float(), torch.zeros(9, dtype=torch.int64, device=device)
    rows = 1 - F.cosine_similarity(z, u) if kind == "cosine" else divergence(z, u, 0.0 if kind == "kl" else 0.5, 1.0)
    loss = {
        "fused": lambda: LigerFusedLinearJSD()(x, w, x.detach(), tw, None),
        "jsd": lambda: LigerFusedLinearJSDLoss(0.0, 1.0)(x, w, x.detach(), tw, labels),
        "cosine": lambda: LigerFusedLinearCosineSimilarityLoss(0.0, 1.0, beta=1.0)(x, w, x.detach(), tw, labels),
        "kl": lambda: LigerFusedLinearKLDivLoss()(x, w, probabilities),
    }[kind]()
    # A loss scale, as f16 has few digits for some of these.
    (1024 * loss).backward()
    (1024 * rows.mean()).backward()
    assert abs(loss.item() / rows.mean().item() - 1) < 1e-5
    bound = 3e-5 if dtype == torch.float32 else torch.finfo(dtype).eps / 2
    for ours, twin in zip((x, w), twins):
        error = (ours.grad.double() - twin.grad).norm() / twin.grad.norm()
        assert error < bound, f"{error:.1e}"


@pytest.mark.parametrize("zero", ["student", "teacher", "both"])
def test_cosine_of_rows_of_zeros(device, zero):
    """As torch has it: the cosine is 0."""
    models = Models(torch.float32, device, has_bias=False)
    models.labels[:] = 0
    for name, side in (("student", models.student), ("teacher", models.teacher)):
        if zero in (name, "both"):
            side[0].data[2] = 0.0
    models.twins[0].data.copy_(models.student[0])
    found = models.run(LigerFusedLinearCosineSimilarityLoss(0.0, 1.0, beta=1.0))
    wanted = expected("cosine", models, 0.0, 1.0, 1.0, 1.0)[0]
    check_close(found, wanted, torch.float32)
    found.backward()
    assert all(bool(t.grad.isfinite().all()) for t in models.student[:2])
