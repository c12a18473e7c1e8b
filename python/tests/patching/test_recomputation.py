"""Recomputation by budget: gradients bit for bit those of gradient checkpointing, and memory as planned."""

import copy
import functools
import pickle
import random

import pytest
import torch
import transformers

from torch.profiler import ProfilerActivity
from torch.profiler import profile

import liger_kernel

from liger_kernel.transformers import LigerRecomputeCallback
from patching.recomputing import MODELS
from patching.recomputing import batch_of
from patching.recomputing import checkpointed
from patching.recomputing import family
from patching.recomputing import gradients
from patching.recomputing import recomputed
from patching.recomputing import same
from patching.recomputing import whole_budget


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


def test_results_that_are_written_to_are_computed_again():
    class Writing(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x).mul_(2)

    model = family("llama", patched=False)()
    for block in model.model.layers:
        block.self_attn.q_proj.__class__ = block.mlp.gate_proj.__class__ = Writing
    check(model, batch_of())


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


def test_compiled_without_graph_breaks_after_two_steps(compiled):
    """Before that it says what to do."""
    model, batch = family("llama", num_hidden_layers=1)(), batch_of()
    # transformers logs otherwise, which breaks graphs.
    model.config.use_cache = False
    expected = gradients(compiled(checkpointed(model)), batch)
    for budget in (1, "1TiB"):
        torch._dynamo.reset()
        copied, _ = recomputed(model, budget)
        with pytest.raises(torch._dynamo.exc.Unsupported, match="train two steps with the model itself, and compile"):
            gradients(compiled(copied, fullgraph=True), batch)
        for _ in range(2):
            gradients(copied, batch)
        torch._dynamo.reset()
        assert same(gradients(compiled(copied, fullgraph=True), batch), expected), budget


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


def switch_off_and_on(model, options=None):
    model.gradient_checkpointing_disable()
    with torch.no_grad():
        model(**batch_of())
    model.gradient_checkpointing_enable(options)


@pytest.mark.parametrize("name", ["llama", "lora", "without a row"])
def test_checkpointing_that_is_switched_off_and_on_stays_by_the_budget(name):
    """As TRL does around each pass of a reference, between a policy's forward pass and its backward pass."""
    model, batch = MODELS[name](), batch_of()
    expected = gradients(checkpointed(model), batch)
    model, recomputation = recomputed(model, whole_budget(model, batch) // 2)
    for _ in range(3):
        assert same(gradients(model, batch, lambda loss: (switch_off_and_on(model), loss.backward())), expected)
    assert recomputation.plan.kept_bytes > 0 and recomputation.steps == 3
    model.gradient_checkpointing_disable()
    assert same(gradients(model, batch), expected) and recomputation.steps == 3, "switched off is off"
    switch_off_and_on(model, {"preserve_rng_state": False, "use_reentrant": False})
    with pytest.raises(ValueError, match="preserve_rng_state=False.*remove"):
        gradients(model, batch)
    recomputation.remove()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert same(gradients(model, batch), expected) and recomputation.plan is None and recomputation.steps == 3


def test_a_copy_stays_by_its_own_budget():
    model = MODELS["llama"]()
    recomputation = liger_kernel.recompute(model, "50KiB", verbose=False)
    copied = copy.deepcopy(model)
    switch_off_and_on(copied)
    gradients(copied, batch_of())
    other = copied.model.layers[0]._gradient_checkpointing_func.recomputation
    assert other is not recomputation and other.steps == 1 and recomputation.steps == 0
    again = liger_kernel.recompute(copied, "60KiB", verbose=False)
    switch_off_and_on(copied)
    gradients(copied, batch_of())
    assert again.steps == 1 and other.steps == 1
