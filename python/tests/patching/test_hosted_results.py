"""Results of recomputation by budget that are kept in the host's memory: the same bits, within both budgets."""

import random

import pytest
import torch

from torch.multiprocessing.reductions import StorageWeakRef

import liger_kernel

from liger_kernel.recomputation import Recomputation
from liger_kernel.recomputation.hosting import Sent
from liger_kernel.recomputation.keeping import Keeping
from liger_kernel.recomputation.keeping import Kept
from liger_kernel.recomputation.keeping import Ledger
from liger_kernel.recomputation.measuring import Call
from liger_kernel.recomputation.measuring import Profile
from liger_kernel.recomputation.measuring import Result
from liger_kernel.recomputation.measuring import Size
from liger_kernel.recomputation.planning import Planner
from patching.recomputing import MODELS
from patching.recomputing import batch_of
from patching.recomputing import checkpointed
from patching.recomputing import family
from patching.recomputing import gradients
from patching.recomputing import recomputed
from patching.recomputing import same
from patching.recomputing import whole_budget

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class HostOfTests:
    """As `Host`, on the CPU and at once; it counts."""

    def __init__(self):
        self.sent = self.fetched = self.taken = self.given_up = 0

    def send(self, tensor):
        self.sent += 1
        storage = tensor.untyped_storage()
        return Sent(tensor.detach().clone(), None, StorageWeakRef(storage), storage._cdata)

    def fetch(self, sent):
        self.fetched += sent.fetched is None
        sent.fetched = sent.buffer

    def take(self, sent):
        self.fetch(sent)
        self.taken += 1
        return sent.fetched

    def give_up(self, sent):
        self.given_up += 1


@pytest.fixture
def host(monkeypatch):
    """A host that planners may use on the CPU, with room for all and a bus of any speed."""
    found = HostOfTests()

    def _host_of(self, device):
        self.host = found
        return 1 << 40, found.rate

    found.rate = 1e12
    monkeypatch.setattr(Recomputation, "_host_of", _host_of)
    return found


@pytest.mark.parametrize("name", ["llama", "lora", "mixtral", "without a row"])
def test_gradients_are_those_of_gradient_checkpointing(name, host):
    model, batch = MODELS[name](), batch_of()
    expected, whole = gradients(checkpointed(model), batch), whole_budget(model, batch)
    draw, most = random.Random(20261129), 0
    for budget in [draw.randint(whole // 8, whole) for _ in range(4)]:
        copied, recomputation = recomputed(model, budget)
        host.sent = host.taken = host.given_up = 0
        for _ in range(3):
            assert same(gradients(copied, batch), expected), f"{budget} of {whole} bytes"
        most = max(most, host.taken)
        assert host.sent == host.taken + host.given_up
        assert recomputation.kept.live == 0
    assert most > 0


def planned(budget, host_bytes, rate, backward=(0, 0, 0, 0)):
    """Four blocks that take 10 ms each, of a result of 100 bytes that takes 4 ms and one of 100 that takes 1."""
    calls = {}
    for block in range(4):
        results = [Result("slow", 100, 4.0), Result("quick", 100, 1.0)]
        for each in results:
            each.is_needed = each.is_held = True
        calls[block, 0] = Call((block, 0), Size(8, 2), results, ms=10.0, forward_point=block, backward_point=7 - block)
    profile = Profile(calls, [0, 0, 0, 0, *backward], Size(8, 2))
    plan = Planner(profile, {}, budget, 0, host=(host_bytes, rate)).plan("")
    assert plan.expected_peak <= budget and plan.host_bytes <= host_bytes
    return plan, [plan.blocks[block, 0].hosted_labels for block in range(4)]


def test_what_does_not_fit_is_sent_by_the_first_blocks():
    # The last three keep their slow result here. The first sends both of its own, 5 ms each.
    plan, hosted = planned(budget=300, host_bytes=250, rate=20.0)
    assert hosted == [("slow", "quick"), (), (), ()] and plan.saved_ms == 4 * 4.0 + 1.0 and plan.host_bytes == 200
    assert "in the host's memory" in str(plan)
    # The bus takes 12 ms a result: the third's would come after the last block has begun.
    assert planned(budget=10, host_bytes=1000, rate=100 / 12)[1] == [()] * 4, "no room while it is sent"
    assert planned(budget=100, host_bytes=1000, rate=100 / 12)[1][3] == ()
    assert planned(budget=300, host_bytes=99, rate=20.0)[1] == [()] * 4
    assert planned(budget=300, host_bytes=0, rate=20.0)[1] == [()] * 4


def test_what_is_fetched_has_its_place_a_block_ahead():
    assert planned(budget=300, host_bytes=100, rate=20.0, backward=(0, 0, 0, 0))[1][0] == ("slow",)
    assert planned(budget=300, host_bytes=100, rate=20.0, backward=(0, 0, 250, 0))[1][0] == ()


def test_a_result_that_others_hold_is_computed_again():
    host = HostOfTests()
    kept = Kept(frozenset(), 0, Ledger(), host, frozenset({0, 1}))
    x = torch.ones(4, 4)
    with Keeping(kept):
        held = x @ x
        x @ x
    assert set(kept.sent) == {1} and host.given_up == 1
    held.add_(1)
    with Keeping(kept := Kept(frozenset(), 0, Ledger(), host, frozenset({0}))):
        (x @ x).add_(1)
    assert not kept.sent


@pytest.mark.parametrize("budget", ["auto", -1, True, "much", None])
def test_budgets_of_the_host_that_are_none(budget):
    with pytest.raises(ValueError, match="budget must be"):
        liger_kernel.recompute(MODELS["llama"](), host_budget=budget)


def test_the_cpu_has_no_other_host():
    model, _ = MODELS["llama"](), batch_of()
    liger_kernel.recompute(model, "1MiB", verbose=False, host_budget="1MiB")
    with pytest.raises(ValueError, match="host_budget keeps results of a GPU"):
        gradients(model, batch_of())


@pytest.mark.parametrize("fullgraph", [False, True])
def test_compiled_blocks_are_refused(fullgraph):
    """In the first step, and where the model is compiled once there is a plan."""
    torch._dynamo.reset()
    model = family("llama", num_hidden_layers=1)()
    model.config.use_cache = False
    liger_kernel.recompute(model, "1MiB", verbose=False, host_budget="1MiB")
    compiled = torch.compile(model, backend="aot_eager", fullgraph=fullgraph)
    with pytest.raises(torch._dynamo.exc.Unsupported if fullgraph else ValueError, match="Leave host_budget out, or"):
        gradients(compiled, batch_of())
    torch._dynamo.reset()


@cuda
def test_gradients_on_a_gpu():
    model = MODELS["llama"]().cuda()
    batch = {name: each.cuda() for name, each in batch_of(512, 8).items()}
    expected = gradients(checkpointed(model), batch)
    copied, recomputation = recomputed(model, "auto")
    base = torch.cuda.memory_allocated()
    gradients(copied, batch)
    recomputation.budget, recomputation.host_bytes = base + (24 << 20), 1 << 30
    recomputation.forget()
    for _ in range(4):
        assert same(gradients(copied, batch), expected)
    assert recomputation.plan.host_bytes > 0
