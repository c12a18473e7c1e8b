"""Recomputation by budget: gradients bit for bit those of gradient checkpointing, and memory as planned."""

import copy
import functools
import pickle
import random
import warnings

import pytest
import torch
import transformers

from torch.profiler import ProfilerActivity
from torch.profiler import profile
from torch.utils.checkpoint import checkpoint

import liger_kernel

from liger_kernel.recomputation import function
from liger_kernel.recomputation import measuring
from liger_kernel.recomputation.gauges import GaugeOfCPU
from liger_kernel.recomputation.keeping import HandingOut
from liger_kernel.recomputation.keeping import Keeping
from liger_kernel.recomputation.keeping import Kept
from liger_kernel.recomputation.keeping import Ledger
from liger_kernel.recomputation.operators import draws
from liger_kernel.transformers import LigerRecomputeCallback
from patching import tiny
from patching.every import apply

TOKENS = 24


def family(name, attention="sdpa", patched=True, **changes):
    def make():
        model = tiny.text_model(name, **{"num_hidden_layers": 3, **changes})
        model.set_attn_implementation(attention)
        if patched:
            apply(model)
        return model

    return make


def without_row():
    """A family that this package has no row for: its norms, gates and attention are torch's."""
    config = transformers.GPT2Config(
        vocab_size=tiny.VOCABULARY, n_embd=32, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2,
        attn_pdrop=0.0, embd_pdrop=0.1, resid_pdrop=0.1,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).train()


def with_lora():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["q_proj", "down_proj"], r=4, lora_dropout=0.2, init_lora_weights=False)
    return peft.get_peft_model(family("llama")(), config).train()


def frozen():
    model = family("llama")()
    model.model.embed_tokens.requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layers.1" not in name and "q_proj" not in name)
    return model


MODELS = {
    "llama": family("llama"),
    "llama, eager attention": family("llama", attention="eager"),
    "llama, attention drops out": family("llama", attention_dropout=0.2),
    "llama, eager attention drops out": family("llama", attention="eager", attention_dropout=0.2),
    "llama, unpatched": family("llama", patched=False),
    "llama, tied weights": family("llama", tie_word_embeddings=True),
    "qwen3": family("qwen3"),
    # Norms after attention and MLP, which need what these give.
    "gemma2": family("gemma2", attention="eager"),
    "gemma": family("gemma"),
    "mixtral": family("mixtral", attention="eager"),
    "without a row": without_row,
    "lora": with_lora,
    "frozen": frozen,
}


def batch_of(tokens=TOKENS, rows=2):
    ids = torch.randint(3, tiny.VOCABULARY, (rows, tokens), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "labels": ids}


def gradients(model, batch, backward=lambda loss: loss.backward(), forward=lambda model, batch: model(**batch).loss):
    """Of one step whose random numbers are those of every other."""
    torch.manual_seed(5)
    model.zero_grad()
    loss = forward(model, batch)
    backward(loss)
    return [loss.detach()] + [p.grad.clone() for p in model.parameters() if p.grad is not None]


def checkpointed(model):
    model = copy.deepcopy(model)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def recomputed(model, budget):
    model = copy.deepcopy(model)
    return model, liger_kernel.recompute(model, budget, verbose=False)


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def whole_budget(model, batch):
    """The bytes of everything that may be kept."""
    model, recomputation = recomputed(model, "1TiB")
    for _ in range(2):
        gradients(model, batch)
    return recomputation.plan.kept_bytes


def check(model, batch, parts=(0.0, 0.1, 0.3, 0.7, 1.0), **step):
    expected, whole = gradients(checkpointed(model), batch, **step), whole_budget(model, batch)
    assert whole > 0
    for part in parts:
        copied, recomputation = recomputed(model, max(int(part * whole), 1))
        for _ in range(3):
            assert same(gradients(copied, batch, **step), expected), f"{part} of {whole} bytes"
        assert recomputation.plan.kept_bytes <= part * whole
        assert (recomputation.plan.kept_bytes > 0) == (part > 0)
        assert recomputation.kept.live == 0 and recomputation.kept.peak <= recomputation.plan.kept_bytes


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_gradient_checkpointing(name):
    check(MODELS[name](), batch_of())


def in_bfloat16(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        return model(**batch).loss


def two_passes(model, batch):
    """Both are alive when the backward pass begins."""
    return model(**batch).loss + 2 * model(batch["input_ids"].flip(0), labels=batch["labels"]).loss


def twice(loss):
    loss.backward(retain_graph=True)
    loss.backward()


STEPS = {
    "autocast": dict(forward=in_bfloat16),
    "two passes before one backward": dict(forward=two_passes),
    "two backward passes": dict(backward=twice),
}


@pytest.mark.parametrize("name", STEPS)
def test_kinds_of_steps(name):
    check(MODELS["llama"](), batch_of(), **STEPS[name])


def bytes_after_forward(model, batch):
    """What a forward pass leaves allocated, as torch's allocator tells the profiler."""
    model.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        loss = model(**batch).loss
    loss.backward()
    events = profiled.profiler.kineto_results.events()
    return sum(event.nbytes() for event in events if event.name() == "[memory]")


@pytest.mark.parametrize("name", ["llama", "mixtral", "without a row"])
def test_memory_is_never_above_the_plan(name):
    model, batch = MODELS[name](), batch_of()
    plain = checkpointed(model)
    least = [bytes_after_forward(plain, batch) for _ in range(2)][-1]
    expected = gradients(plain, batch)
    whole, draw = whole_budget(model, batch), random.Random(20261128)
    for budget in [draw.randint(1, int(1.1 * whole)) for _ in range(6)]:
        copied, recomputation = recomputed(model, budget)
        for _ in range(2):
            assert same(gradients(copied, batch), expected), f"{budget} of {whole}"
        kept = bytes_after_forward(copied, batch) - least
        plan = recomputation.plan
        assert kept <= plan.kept_bytes <= plan.expected_peak <= budget, f"of {whole}"
        if not any(block.is_whole for block in plan.blocks.values()):
            assert kept == plan.kept_bytes


def test_larger_batches_are_measured_and_smaller_ones_keep_less():
    model = MODELS["llama"]()
    plain, (copied, recomputation) = checkpointed(model), recomputed(model, "100KiB")
    plans = []
    for tokens, rows in [(8, 2), (8, 2), (24, 2), (24, 2), (8, 2), (30, 1), (30, 1), (24, 2)]:
        batch = batch_of(tokens, rows)
        assert same(gradients(copied, batch), gradients(plain, batch)), (tokens, rows)
        plans.append(recomputation.plan)
    assert len(recomputation._profiles) == 3
    assert plans[3].kept_bytes <= 100 * 1024 and plans[1] is plans[4] and plans[3] is plans[7]


def test_dear_results_come_first():
    """Of results of one size the slower; and what comes after all that is saved is not kept."""
    from liger_kernel.recomputation.measuring import Call
    from liger_kernel.recomputation.measuring import Profile
    from liger_kernel.recomputation.measuring import Result
    from liger_kernel.recomputation.measuring import Size
    from liger_kernel.recomputation.planning import Planner

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
    from liger_kernel.recomputation.measuring import Call
    from liger_kernel.recomputation.measuring import Profile
    from liger_kernel.recomputation.measuring import Result
    from liger_kernel.recomputation.measuring import Size
    from liger_kernel.recomputation.planning import Planner

    call = Call((0, 0), Size(8, 2), [Result("product", 100, 1.0, is_needed=True)], ms=2.0, host_ms=2.0, graph_bytes=500)
    call.backward_point = 1
    for budget, is_whole in ((499, False), (500, True)):
        plan = Planner(Profile({(0, 0): call}, [0, 0], Size(8, 2)), {}, budget, 0).plan("")
        assert plan.blocks[0, 0].is_whole == is_whole and not plan.blocks[0, 0].numbers


def test_results_that_are_written_to_are_computed_again():
    class Writing(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x).mul_(2)

    model = family("llama", patched=False)()
    for block in model.model.layers:
        block.self_attn.q_proj.__class__ = block.mlp.gate_proj.__class__ = Writing
    check(model, batch_of())


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


@pytest.fixture
def compiled():
    """torch.compile without a compiler of C++; what was compiled is forgotten before and after."""
    torch._dynamo.reset()
    yield functools.partial(torch.compile, backend="aot_eager")
    torch._dynamo.reset()


def test_compiled(compiled):
    model, batch = family("llama", num_hidden_layers=2)(), batch_of()
    expected, budget = gradients(compiled(checkpointed(model)), batch), int(0.4 * whole_budget(model, batch))
    torch._dynamo.reset()
    copied = compiled(recomputed(model, budget)[0])
    assert all(same(gradients(copied, batch), expected) for _ in range(3))


@pytest.mark.parametrize("budget", [1, "1TiB"])
def test_compiled_without_graph_breaks_after_two_steps(budget, compiled):
    """Before that it says what to do."""
    model, batch = family("llama", num_hidden_layers=1)(), batch_of()
    # transformers logs otherwise, which breaks graphs.
    model.config.use_cache = False
    expected = gradients(compiled(checkpointed(model)), batch)
    torch._dynamo.reset()
    copied, _ = recomputed(model, budget)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="train two steps with the model itself, and compile it"):
        gradients(compiled(copied, fullgraph=True), batch)
    for _ in range(2):
        gradients(copied, batch)
    torch._dynamo.reset()
    assert same(gradients(compiled(copied, fullgraph=True), batch), expected)


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


def test_trainer(tmp_path):
    class Dataset(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return {name: value[0] + index % 2 for name, value in batch_of(9, 1).items()}

    def train(model, *callbacks, **options):
        arguments = transformers.TrainingArguments(
            str(tmp_path), max_steps=4, per_device_train_batch_size=2, report_to=[], use_cpu=True, save_strategy="no",
            gradient_accumulation_steps=2, **options,
        )  # fmt: skip
        transformers.Trainer(model, arguments, train_dataset=Dataset(), callbacks=list(callbacks)).train()
        return [parameter.detach().clone() for parameter in model.parameters()]

    model = MODELS["llama"]()
    expected = train(checkpointed(model))
    for options in ({}, dict(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False})):
        callback = LigerRecomputeCallback(budget="50KiB", verbose=False)
        assert same(train(copy.deepcopy(model), callback, **options), expected)
        assert callback.recomputation.plan.kept_bytes > 0
    options = dict(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": True})
    with pytest.raises(ValueError, match="decides itself what is kept"):
        train(copy.deepcopy(model), LigerRecomputeCallback(), **options)


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


def test_copies_are_measured_by_themselves(capsys):
    model = MODELS["llama"]()
    recomputation = liger_kernel.recompute(model, "50KiB")
    gradients(model, batch_of())
    copied = copy.deepcopy(model)
    pickle.loads(pickle.dumps(recomputation))
    gradients(model, batch_of())
    assert "50.0 KiB" in capsys.readouterr().out and recomputation.plan is not None
    other = copied.model.layers[0]._gradient_checkpointing_func.recomputation
    assert other is not recomputation and other.plan is None
    assert same(gradients(copied, batch_of()), gradients(model, batch_of()))
