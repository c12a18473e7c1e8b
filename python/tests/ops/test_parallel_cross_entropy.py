"""A linear layer with cross entropy whose classes are spread over ranks, against torch's on one rank in float64."""

import pytest
import torch
import torch.nn.functional as F

from processes import on_ranks

TOKENS, HIDDEN, CLASSES, IGNORED = 37, 16, 48, -100


def sample(dtype, scale=1.0):
    torch.manual_seed(3)
    x, weight = torch.randn(TOKENS, HIDDEN).to(dtype), (scale * torch.randn(CLASSES, HIDDEN)).to(dtype)
    target = torch.randint(CLASSES, (TOKENS,))
    target[4::9] = IGNORED
    return x, weight, target


def wanted(x, weight, target, normaliser):
    x, weight = x.double().requires_grad_(), weight.double().requires_grad_()
    loss = F.cross_entropy(x @ weight.T, target, ignore_index=IGNORED, reduction="sum") / normaliser
    loss.backward()
    return loss.detach(), x.grad, weight.grad


def off(found, expected):
    return ((found.double() - expected).norm() / expected.norm()).item()


def found_of(rank, count, dtype, scale, budget=None, accum_dtype=None, frozen=()):
    import torch.distributed as dist

    from liger_kernel.ops._memory import set_loss_memory
    from liger_kernel.ops._parallel_cross_entropy import ParallelLinearCrossEntropy

    set_loss_memory(accum_dtype, budget)
    x, weight, target = sample(dtype, scale)
    own = weight.chunk(count)[rank].clone()
    x.requires_grad_("x" not in frozen), own.requires_grad_("weight" not in frozen)
    loss = ParallelLinearCrossEntropy.apply(x, own, target, torch.tensor(7), IGNORED, dist.group.WORLD)
    loss.backward(retain_graph=True)
    first = [each.grad for each in (x, own)]
    x.grad = own.grad = None
    (3 * loss).backward()
    results = [loss.detach(), *first, x.grad, own.grad]
    return [torch.zeros(0) if each is None else each for each in results]


def in_fp32(rank, count):
    return found_of(rank, count, torch.float32, 1.0)


def in_chunks(rank, count):
    # Eight tokens in each.
    return found_of(rank, count, torch.float32, 1.0, budget=8 * 4 * CLASSES // count)


def in_bf16(rank, count):
    return found_of(rank, count, torch.bfloat16, 3.0)


def in_chunks_of_bf16(rank, count):
    return found_of(rank, count, torch.bfloat16, 3.0, budget=8 * 2 * CLASSES // count)


def in_sums_of_bf16(rank, count):
    return found_of(rank, count, torch.bfloat16, 3.0, 8 * 2 * CLASSES // count, torch.bfloat16)


def far_above(rank, count):
    # Logits hundreds above the label's.
    return found_of(rank, count, torch.float32, 60.0)


CASES = {
    in_fp32: (torch.float32, 1.0, 2e-6), in_chunks: (torch.float32, 1.0, 2e-6), far_above: (torch.float32, 60.0, 2e-5),
    in_bf16: (torch.bfloat16, 3.0, 5e-3), in_chunks_of_bf16: (torch.bfloat16, 3.0, 5e-3),
    in_sums_of_bf16: (torch.bfloat16, 3.0, 1e-2),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_that_share_classes(tmp_path, case, ranks):
    dtype, scale, most = CASES[case]
    ends = on_ranks(case, tmp_path, ranks)
    loss, by_x, by_weight = wanted(*sample(dtype, scale), 7)
    for end in ends:
        # The same on all, bit for bit.
        assert all(torch.equal(a, b) for a, b in ((end[0], ends[0][0]), (end[1], ends[0][1]), (end[3], ends[0][3])))
    assert ends[0][0].dtype == torch.float32 and abs(ends[0][0] - loss) < 1e-5 * loss
    for factor, place in ((1, 1), (3, 3)):
        assert ends[0][place].dtype == dtype and off(ends[0][place], factor * by_x) < most
        assert off(torch.cat([end[place + 1] for end in ends]), factor * by_weight) < most


def with_frozen_weight(rank, count):
    return found_of(rank, count, torch.float32, 1.0, frozen=("weight",))


def with_frozen_input(rank, count):
    return found_of(rank, count, torch.float32, 1.0, budget=8 * 4 * CLASSES // count, frozen=("x",))


@pytest.mark.parametrize("case", [with_frozen_weight, with_frozen_input], ids=lambda case: case.__name__)
def test_what_needs_no_gradient_gets_none(tmp_path, case):
    ends = on_ranks(case, tmp_path, 2)
    loss, by_x, by_weight = wanted(*sample(torch.float32), 7)
    assert abs(ends[0][0] - loss) < 1e-5 * loss
    if case is with_frozen_weight:
        assert off(ends[0][1], by_x) < 2e-6 and ends[0][2].numel() == 0
    else:
        assert ends[0][1].numel() == 0 and off(torch.cat([end[2] for end in ends]), by_weight) < 2e-6
