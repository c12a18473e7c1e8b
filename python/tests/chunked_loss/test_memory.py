"""What losses of a linear layer take beside inputs and gradients, and the switches that lower it."""

from unittest import mock

import pytest
import torch

from conftest import check_close
from sequences import IGNORED

import liger_kernel

from liger_kernel import _call
from liger_kernel import _library
from liger_kernel import chunked_loss
from liger_kernel.ops import _memory
from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
from liger_kernel.transformers import LigerFusedLinearJSD
from liger_kernel.transformers import LigerFusedLinearKLDivLoss

PAIRS, LENGTH, HIDDEN, CLASSES = 2, 6, 32, 640
ROWS = 2 * PAIRS


def labels(device, rows=ROWS, length=LENGTH, classes=CLASSES):
    made = torch.randint(classes, (rows, length), device=device)
    made[:, -1] = IGNORED
    return made


# Each takes (constructor's options, input of sequences, weight, labels) and gives the loss.
def cross_entropy(options, x, w, y):
    return LigerFusedLinearCrossEntropyLoss(**options)(w, x.flatten(0, 1), y.flatten())


def fused_jsd(options, x, w, y):
    return LigerFusedLinearJSD(**options)(x.flatten(0, 1), w, x.detach().flatten(0, 1) * 0.5, w.detach(), y.flatten())


def fused_kl(options, x, w, y):
    teacher = (x.detach().flatten(0, 1) @ w.detach().T).float().softmax(-1).to(x.dtype)
    return LigerFusedLinearKLDivLoss(**options)(x.flatten(0, 1), w, teacher, y.flatten())


def distillation(name):
    def loss(options, x, w, y):
        made = getattr(chunked_loss, f"LigerFusedLinear{name}Loss")(**options)
        return made(x.flatten(0, 1), w, x.detach().flatten(0, 1) * 0.5, w.detach(), y.flatten())

    return loss


def preference(name, **fixed):
    def loss(options, x, w, y):
        return getattr(chunked_loss, f"LigerFusedLinear{name}Loss")(**fixed, **options)(w, x, y)[0]

    return loss


def dpo_with_reference(options, x, w, y):
    made = chunked_loss.LigerFusedLinearDPOLoss(**options)
    return made(w, x, y, ref_input=x.detach() * 0.5, ref_weight=w.detach())[0]


def kto(options, x, w, y):
    good = torch.arange(x.shape[0], device=x.device) % 2 == 0
    return chunked_loss.LigerFusedLinearKTOLoss(**options)(x, w, y, preference_labels=good)[0]


def grpo(options, x, w, y):
    made = chunked_loss.LigerFusedLinearGRPOLoss(beta=0.0, use_ref_model=False, **options)
    advantages = torch.linspace(-1, 1, x.shape[0], device=x.device)
    return made(x, w, y.clamp_min(0), (y != IGNORED).long(), advantages)[0]


LOSSES = {
    "cross_entropy": cross_entropy,
    "fused_jsd": fused_jsd,
    "fused_kl": fused_kl,
    "jsd": distillation("JSD"),
    "cosine": distillation("CosineSimilarity"),
    "dpo": dpo_with_reference,
    "cpo": preference("CPO"),
    "simpo": preference("SimPO"),
    "orpo": preference("ORPO"),
    "kto": kto,
    "grpo": grpo,
}
# A budget for one pair of answers at a time on the CPU.
SMALL = 2 * LENGTH * CLASSES * 4


def run(name, options, dtype=torch.bfloat16, device="cpu"):
    """The loss, gradients, and the bytes that the call takes on the way."""
    torch.manual_seed(3)
    x = torch.randn(ROWS, LENGTH, HIDDEN).to(device, dtype).requires_grad_()
    w = (0.3 * torch.randn(CLASSES, HIDDEN)).to(device, dtype).requires_grad_()
    _call.forget()
    calls, prepare = [], _call.prepare
    with mock.patch.object(_call, "prepare", lambda *arguments: calls.append(prepare(*arguments)) or calls[-1]):
        loss = LOSSES[name](options, x, w, labels(device))
        loss.backward()
    # The others scale gradients, and take nothing.
    return loss.detach(), x.grad, w.grad, max(call.workspace for call in calls)


@pytest.fixture(autouse=True)
def put_back():
    yield
    liger_kernel.set_loss_memory()


@pytest.mark.parametrize("name", LOSSES)
def test_sums_in_the_weights_type_take_less(name, device, dtype):
    # A GPU's logits are as long as the weight's elements.
    budget = SMALL if device == "cpu" else SMALL // 4 * dtype.itemsize
    exact = run(name, {"budget_bytes": budget}, dtype, device)
    assert torch.equal(exact[2], run(name, {"budget_bytes": budget, "accum_dtype": torch.float32}, dtype, device)[2])
    lean = run(name, {"budget_bytes": budget, "accum_dtype": dtype}, dtype, device)
    assert torch.equal(lean[0], exact[0]) and torch.equal(lean[1], exact[1]), "only the weight's gradient is summed"
    if dtype == torch.float32:
        assert torch.equal(lean[2], exact[2]) and lean[3] == exact[3]
        return
    # Half of the sums lie where the gradient will; the rest is what is saved, but in f16 for a scale of each row.
    scales = CLASSES if dtype == torch.float16 else 0
    saved = 4 * (HIDDEN * (CLASSES - CLASSES // 2) - scales)
    if device == "cpu":  # On a GPU products may need a place of another size.
        assert exact[3] - lean[3] >= saved * 0.9, f"{exact[3]} bytes, {lean[3]} with sums in {dtype}"
    check_close(lean[2], exact[2], dtype, roundings=3.0)
    assert not torch.equal(lean[2], exact[2]), "each chunk was rounded"


@pytest.mark.parametrize("name", LOSSES)
def test_a_budget_bounds_what_logits_take(name):
    large = run(name, {"budget_bytes": 1 << 20}, torch.float32)
    small = run(name, {"budget_bytes": SMALL}, torch.float32)
    assert small[3] < large[3] <= ROWS * LENGTH * CLASSES * 8 + 32768
    assert small[3] <= SMALL + 32768, "the budget and some numbers per token"
    for a, b in zip(small[:3], large[:3]):
        check_close(a, b, torch.float32)


@pytest.mark.parametrize("name", ["cross_entropy", "dpo", "jsd"])
def test_the_process_decides_where_arguments_do_not(name):
    wanted = run(name, {"budget_bytes": SMALL, "accum_dtype": torch.bfloat16})
    plain = run(name, {})
    liger_kernel.set_loss_memory(torch.bfloat16, SMALL)
    found = run(name, {})
    assert torch.equal(found[2], wanted[2]) and found[3] == wanted[3]
    with pytest.raises(ValueError, match="accum_dtype is torch.bfloat16; give torch.float32, the weight's"):
        run(name, {}, torch.float16)
    argued = run(name, {"accum_dtype": torch.float32, "budget_bytes": 1 << 26})
    assert torch.equal(argued[2], plain[2]), "arguments win"
    liger_kernel.set_loss_memory()
    assert run(name, {})[3] == plain[3]


@pytest.mark.parametrize("name", LOSSES)
def test_a_budget_may_be_a_text(name):
    wanted = run(name, {"budget_bytes": 1 << 14})
    found = run(name, {"budget_bytes": "16KiB"})
    liger_kernel.set_loss_memory(budget_bytes="16 KiB")
    for each in (found, run(name, {})):
        assert torch.equal(each[2], wanted[2]) and each[3] == wanted[3]


@pytest.mark.parametrize("name", LOSSES)
def test_what_makes_no_sense_is_refused(name):
    for budget in (0, -1, 1.5, True, "lots", "0"):
        with pytest.raises(ValueError, match="budget_bytes must be a whole number"):
            run(name, {"budget_bytes": budget})
    with pytest.raises(ValueError, match="accum_dtype is torch.float64"):
        run(name, {"accum_dtype": torch.float64})
    if name not in ("cross_entropy", "fused_jsd", "fused_kl"):
        with pytest.raises(ValueError, match="leave one out"):
            run(name, {"budget_bytes": SMALL, "chunk_size": 2})
    for wrong in ({"accum_dtype": torch.int8}, {"budget_bytes": 0}):
        with pytest.raises(ValueError):
            liger_kernel.set_loss_memory(**wrong)


@pytest.mark.parametrize("accumulation, most", [("exact", 1600), ("storage", 640)])
@pytest.mark.parametrize("operation", ["fused_linear_preference", "fused_linear_cross_entropy"])
def test_plan_at_a_large_vocabulary(operation, accumulation, most):
    """Mebibytes for 16 answers of 1,024 tokens, H 4096, V 128256, planned without the memory being there."""
    tokens, hidden, classes = (8, 1024), 4096, 128256
    shape = tokens if operation == "fused_linear_preference" else (tokens[0] * tokens[1],)
    arrays = [("input", (*shape, hidden)), ("weight", (classes, hidden)), ("labels", shape)]
    inputs = [
        (name, size, torch.empty(size, device="meta").stride(), torch.int64 if name == "labels" else torch.bfloat16)
        for name, size in arrays
    ]
    # The CPU's logits are fp32, a GPU's are half as long: as many tokens as 512 MiB hold there.
    options = {"accumulation": accumulation, "budget_bytes": 512 << 20, "needs": 3}
    if operation == "fused_linear_preference":
        options |= {"formula": "simpo", "beta": 0.1, "averages": True}
    else:
        options |= {"reduction": "mean"}
    call = _library.prepare(operation, -1, inputs, options)
    assert call.workspace <= most << 20, f"{call.workspace / 2**20:.0f} MiB"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="measures a GPU's memory")
@pytest.mark.parametrize("accum_dtype, most", [(None, 1740), (torch.bfloat16, 700)])
@pytest.mark.parametrize("name", ["cross_entropy", "dpo", "orpo", "kto"])
def test_peak_on_cuda_at_a_large_vocabulary(name, accum_dtype, most):
    """Mebibytes above inputs and returned gradients, for 8 answers of 1,024 tokens, H 4096, V 128256."""
    x = torch.randn(8, 1024, 4096, device="cuda", dtype=torch.bfloat16).requires_grad_()
    w = torch.empty(128256, 4096, device="cuda", dtype=torch.bfloat16).normal_(0, 0.02).requires_grad_()
    y = labels("cuda", 8, 1024, 128256)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    LOSSES[name]({"accum_dtype": accum_dtype}, x, w, y).backward()
    gradients = x.grad.nbytes + w.grad.nbytes
    # The reference's inputs are made within this loss's call here, and are none of its memory.
    others = x.nbytes if name == "dpo" else 0
    peak = (torch.cuda.max_memory_allocated() - before - gradients - others) / 2**20
    assert peak <= most, f"{peak:.0f} MiB"


@pytest.mark.parametrize("dtype, size", [(torch.float32, 4), (torch.bfloat16, 6), (torch.float16, 6)])
def test_bytes_of_exact_logits(dtype, size):
    """On a GPU the gradient of fp32 logits has memory of its own where it has another type."""
    on_gpu = mock.Mock(is_cuda=True, dtype=dtype, element_size=lambda: dtype.itemsize)
    assert _memory.bytes_of_exact_logits(on_gpu) == size
    assert _memory.bytes_of_exact_logits(torch.ones(1, dtype=dtype)) == 4
