"""What recomputation by budget keeps, which budgets it takes, and what it says of them."""

import warnings

import pytest
import torch

from torch.utils.checkpoint import checkpoint

import liger_kernel

from liger_kernel.recomputation import function
from liger_kernel.recomputation import measuring
from liger_kernel.recomputation.gauges import GaugeOfCPU
from liger_kernel.recomputation.keeping import HandingOut
from liger_kernel.recomputation.keeping import Keeping
from liger_kernel.recomputation.keeping import Kept
from liger_kernel.recomputation.keeping import Ledger
from liger_kernel.recomputation.measuring import Call
from liger_kernel.recomputation.measuring import Profile
from liger_kernel.recomputation.measuring import Result
from liger_kernel.recomputation.measuring import Size
from liger_kernel.recomputation.operators import draws
from liger_kernel.recomputation.planning import Planner
from patching.recomputing import MODELS
from patching.recomputing import batch_of
from patching.recomputing import checkpointed
from patching.recomputing import gradients
from patching.recomputing import recomputed
from patching.recomputing import same


def test_dear_results_come_first():
    """Of results of one size the slower; and what comes after all that is saved is not kept."""
    size, calls = Size(8, 2), {}
    for block in range(3):
        results = [Result("slow", 100, 3.0), Result("quick", 100, 1.0), Result("large", 1000, 5.0)]
        for each in results:
            each.is_needed = True
        results.append(Result("last", 1, 9.0))
        calls[block, 0] = Call((block, 0), size, results, ms=20.0, forward_point=block, backward_point=5 - block)
    # Gradients grow in the backward pass, from 0 to 300 bytes, as activations are given back.
    profile = Profile(calls, [0, 0, 0, 100, 200, 300], size)
    kept = {}
    for budget in (300, 400, 600, 2000):
        plan = Planner(profile, {}, budget, 0).plan("")
        kept[budget] = [plan.blocks[block, 0].labels for block in range(3)]
        assert plan.expected_peak <= budget
    slow, both = ("slow",), ("slow", "quick")
    all_three = (*both, "large")
    assert kept == {300: [(), slow, slow], 400: [slow] * 3, 600: [slow, both, both], 2000: [both, both, all_three]}


def test_a_block_that_waits_for_the_host_keeps_its_graph_or_nothing():
    call = Call((0, 0), Size(8, 2), [Result("product", 100, 1.0, is_needed=True)], ms=2.0, host_ms=2.0, graph_bytes=500)
    call.backward_point = 1
    for budget, is_whole in ((499, False), (500, True)):
        plan = Planner(Profile({(0, 0): call}, [0, 0], Size(8, 2)), {}, budget, 0).plan("")
        assert plan.blocks[0, 0].is_whole == is_whole and not plan.blocks[0, 0].numbers


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("result_ms, saved", [(2.0, 4.0), (9.0, 10.0)])
def test_no_more_time_is_saved_than_there_is(scale, result_ms, saved):
    """A batch of another size takes another time. Results timed one by one may take longer than their block."""
    results = [Result("product", 100, result_ms, is_needed=True) for _ in range(2)]
    call = Call((0, 0), Size(8, 2), results, ms=10.0, forward_point=0, backward_point=1)
    plan = Planner(Profile({(0, 0): call}, [0, 0], Size(8, 2)), {}, 1000, 0, scale=scale).plan("")
    assert (plan.saved_ms, plan.recomputation_ms) == (saved * scale, 10.0 * scale)
    assert f"{saved * scale:.1f} of {10.0 * scale:.1f} ms" in str(plan)


def test_a_result_that_its_block_writes_to_is_not_kept():
    """Though it was not written to when it was measured."""
    kept, x = Kept({0}, 1024, Ledger()), torch.randn(3, 3, requires_grad=True)
    modes = Keeping(kept), HandingOut(kept)
    result = checkpoint(lambda x: (x @ x).mul_(2).sin(), x, use_reentrant=False, context_fn=lambda: modes)
    assert kept.ledger.peak == 36 and kept.ledger.live == 0
    found = torch.autograd.grad(result.sum(), x)
    assert torch.equal(*found, *torch.autograd.grad((x @ x).mul_(2).sin().sum(), x))


@pytest.mark.parametrize("place, options", [((0.5,), {}), ((), {"dropout_p": 0.5})])
def test_attention_that_drops_out_is_known_by_its_arguments(place, options):
    attention, x = torch.ops.aten._scaled_dot_product_flash_attention.default, torch.ones(1, 1, 1, 8)
    assert draws(attention, (x, x, x, *place), options)
    assert not draws(attention, (x, x, x), {}) and not draws(attention, (x, x, x, 0.0), {})


def test_results_larger_than_measured_are_kept_while_the_plan_has_bytes():
    """As of experts that get more tokens."""
    kept, x = Kept({0, 1}, 40, Ledger()), torch.randn(3, 3)
    with Keeping(kept):
        x @ x, x @ x
    assert list(kept.results) == [0] and kept.ledger.live == 36


def test_a_result_that_is_written_to_after_its_block_is_refused():
    kept, x = Kept({0}, 1024, Ledger()), torch.randn(3, 3, requires_grad=True)
    modes = Keeping(kept), HandingOut(kept)

    def block(x):
        product = x @ x
        return product, product.sin()

    product, other = checkpoint(block, x, use_reentrant=False, context_fn=lambda: modes)
    product.mul_(2)
    with pytest.raises(RuntimeError, match="was written to after its block returned it"):
        other.sum().backward()


class ADeviceBehind(GaugeOfCPU):
    """When a recomputation begins its queue is full, with 7 s of work: each mark waits a second for room."""

    counts_memory = True
    clock, behind = 0.0, 0.0

    def take_peak(self):
        self.behind = 7.0
        return 0

    def wait(self):
        self.clock, self.behind = self.clock + self.behind, 0.0

    def mark(self):
        room = min(self.behind, 1.0)
        self.clock, self.behind = self.clock + room, self.behind - room
        return self.clock


def test_waiting_for_the_device_is_no_time_of_the_host(monkeypatch):
    device = ADeviceBehind()
    monkeypatch.setattr(function, "gauge_of", lambda _: device)
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: device.clock)
    model, recomputation = recomputed(MODELS["llama"](), "1GiB")
    for _ in range(2):
        gradients(model, batch_of())
    calls = recomputation._profiles[0].calls.values()
    assert calls and all(call.host_ms == 0 for call in calls)


class ABusyDevice(GaugeOfCPU):
    """A step on it peaks at 1 MiB."""

    def take_peak(self):
        return 2**20


@pytest.mark.parametrize("budget, is_warned", [("1023KiB", True), ("1MiB", False)])
def test_a_budget_that_checkpointing_exceeds_is_warned_of_once(budget, is_warned, monkeypatch):
    monkeypatch.setattr(function, "gauge_of", lambda device: ABusyDevice())
    model, (batch, other) = MODELS["llama"](), (batch_of(), batch_of(8))
    plain, (copied, recomputation) = checkpointed(model), recomputed(model, budget)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for each in (batch, batch, other):
            assert same(gradients(copied, each), gradients(plain, each))
    told = [str(each.message) for each in found if "recompute()" in str(each.message)]
    assert len(recomputation._plans) == 2 and len(told) == is_warned
    if is_warned:
        assert "the budget is 1023.0 KiB, and this model needs about 1.0 MiB" in told[0]
        assert recomputation.plan.expected_peak == 2**20


@pytest.mark.parametrize("budget", [0, -5, True, None, "much", "5 parsecs", float("nan"), [1]])
def test_budgets_that_are_none(budget):
    with pytest.raises(ValueError, match="budget must be 'auto', bytes above 0, or text such as '80GiB'"):
        liger_kernel.recompute(MODELS["llama"](), budget)


@pytest.mark.parametrize("budget, count", [("80GiB", 80 * 2**30), ("1.5 kb", 1500), (7, 7), ("12", 12), (2e3, 2000)])
def test_budgets(budget, count):
    assert liger_kernel.recompute(MODELS["llama"](), budget).budget == count


def test_a_model_without_gradient_checkpointing_is_refused():
    for model in (torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 2)), "model"):
        with pytest.raises(ValueError, match="takes the place of a Hugging Face model's gradient checkpointing"):
            liger_kernel.recompute(model)
