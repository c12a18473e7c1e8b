"""What the one loss forward promises, whatever the model: options, labels and outputs."""

import copy
import inspect
import pickle

import pytest
import torch
import torch.nn.functional as F
import transformers

from liger_kernel.transformers.model.llama import lce_forward as llama_lce_forward
from transformers.modeling_outputs import CausalLMOutputWithPast

from liger_kernel import _versions
from liger_kernel.transformers import functional
from liger_kernel.transformers.model import lce
from liger_kernel.transformers.model import loss_utils
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny

pytestmark = pytest.mark.smoke


def pair(family="llama", **switches):
    """An unpatched model and its patched copy."""
    plain = tiny.text_model(family)
    patched = copy.deepcopy(plain)
    switches = {"fused_linear_cross_entropy": True, "cross_entropy": False, **switches}
    _apply_liger_kernel_to_instance(patched, **switches)
    return plain, patched


def close(a, b, bound=2e-6):
    assert torch.isfinite(a).all() and torch.isfinite(b).all()
    error = ((a - b).abs().max() / b.abs().max().clamp_min(1e-6)).item()
    assert error <= bound, f"{error:.1e}"


@pytest.fixture
def fused_calls(monkeypatch):
    """Counts the calls of the fused loss, found where the contract says: as an attribute, at call time."""
    calls = []
    original = functional.liger_fused_linear_cross_entropy

    def counted(*args, **kwargs):
        calls.append(kwargs)
        return original(*args, **kwargs)

    counted.__signature__ = inspect.signature(original)
    monkeypatch.setattr(functional, "liger_fused_linear_cross_entropy", counted)
    return calls


def test_training_makes_no_logits_and_evaluation_does(fused_calls):
    plain, patched = pair()
    batch = tiny.text_batch()
    trained = patched(**batch)
    assert trained.logits is None and len(fused_calls) == 1
    evaluated = patched.eval()(**batch)
    assert len(fused_calls) == 1, "evaluation with labels is the model's own"
    close(evaluated.logits, plain.eval()(**batch).logits)
    close(evaluated.loss, plain(**batch).loss)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("skip", [True, False, None])
def test_skip_logits_is_honoured(training, skip, fused_calls):
    plain, patched = pair()
    batch = tiny.text_batch()
    output = patched.train(training)(**batch, skip_logits=skip)
    skipped = training if skip is None else skip
    assert (output.logits is None) == skipped and bool(fused_calls) == skipped
    close(output.loss, plain(**batch).loss)


def test_skip_logits_without_labels_is_an_error():
    _, patched = pair()
    with pytest.raises(ValueError, match="labels or shift_labels"):
        patched(input_ids=tiny.text_batch()["input_ids"], skip_logits=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_labels", [True, False])
def test_shift_labels_win_and_suffice(training, with_labels):
    plain, patched = pair()
    batch = tiny.text_batch()
    labels = batch.pop("labels")
    shifted = F.pad(labels, (0, 1), value=-100)[:, 1:].contiguous()
    # Labels that would give another loss show which of the two was taken.
    given = {"labels": torch.full_like(labels, 5)} if with_labels else {}
    output = patched.train(training)(**batch, **given, shift_labels=shifted)
    close(output.loss, plain(**batch, labels=labels).loss)
    assert (output.logits is None) == training


@pytest.mark.parametrize("items", [7, torch.tensor(7), torch.tensor(7.0)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("family", ["llama", "mixtral", "gemma2"])
def test_num_items_in_batch(family, training, items):
    plain, patched = pair(family)
    batch = tiny.text_batch()
    expected = plain(**batch, num_items_in_batch=items).loss
    close(patched.train(training)(**batch, num_items_in_batch=items).loss, expected)
    assert abs(expected.item() - plain(**batch).loss.item()) > 0.1, "the number of items changes the loss"


def test_logits_to_keep_slices_what_the_loss_sees():
    plain, patched = pair()
    batch = tiny.text_batch()
    kept = {**batch, "labels": batch["labels"][:, -4:]}
    close(patched(**kept, logits_to_keep=4).loss, plain(**kept, logits_to_keep=4).loss)
    with pytest.raises(ValueError, match="hidden states"):
        patched(**batch, logits_to_keep=4)
    without = {k: v for k, v in batch.items() if k != "labels"}
    assert patched.eval()(**without, logits_to_keep=2).logits.shape[1] == 2


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "gpt_oss"])
def test_the_router_loss_is_in_the_loss(family):
    plain, patched = pair(family)
    batch = tiny.text_batch()
    output, expected = patched(**batch), plain(**batch)
    close(output.loss, expected.loss)
    close(output.aux_loss, expected.aux_loss)
    without = patched(**batch, output_router_logits=False)
    assert abs(without.loss.item() - output.loss.item()) > 1e-4


def test_accuracy_and_predictions():
    plain, patched = pair()
    batch = tiny.text_batch()
    output = patched(**batch, return_token_accuracy=True, return_predicted_tokens=True)
    logits = plain(**batch).logits
    target = F.pad(batch["labels"], (0, 1), value=-100)[:, 1:].reshape(-1)
    predicted = logits.argmax(-1).reshape(-1)
    counted = target != -100
    assert type(output).__name__ == "LigerCausalLMOutputWithPast" and isinstance(output, CausalLMOutputWithPast)
    assert output.token_accuracy.item() == pytest.approx((predicted == target)[counted].float().mean().item())
    same = output.predicted_tokens.reshape(-1)[counted] == predicted[counted]
    assert bool(same.all())


def test_options_of_the_fused_loss_hold_with_logits_too():
    plain, patched = pair()
    batch = tiny.text_batch()
    logits = plain(**batch).logits.double()
    target = F.pad(batch["labels"], (0, 1), value=-100)[:, 1:].reshape(-1)
    rows = logits.reshape(-1, logits.shape[-1])
    smoothed = F.cross_entropy(rows, target, label_smoothing=0.2)
    per_row = F.cross_entropy(rows, target, reduction="none")
    scale = rows.softmax(-1).gather(-1, target.clamp_min(0)[:, None])[:, 0].detach()
    scaled = (per_row * scale).sum() / (target != -100).sum()
    for training in (True, False):
        patched.train(training)
        close(patched(**batch, label_smoothing=0.2).loss.double(), smoothed)
        output = patched(**batch, use_token_scaling=True)
        close(output.loss.double(), scaled)
        assert (output.logits is None) == training
    close(patched(**batch, use_token_scaling=True).logits, plain(**batch).logits)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("option", [dict(budget_bytes=0), dict(chunk_mem_const=0)])
def test_a_size_of_zero_is_refused(option, training):
    _, patched = pair()
    with pytest.raises(ValueError, match="at least 1"):
        patched.train(training)(**tiny.text_batch(), **option)


def test_return_dict_false_gives_a_tuple():
    plain, patched = pair()
    batch = tiny.text_batch()
    output = patched(**batch, return_dict=False, return_token_accuracy=True)
    assert isinstance(output, tuple) and output[1] is None
    close(output[0], plain(**batch).loss)
    assert output[-1].dim() == 0, "the accuracy comes last"
    with_logits = patched(**batch, return_dict=False, skip_logits=False)
    close(with_logits[1], plain(**batch).logits)


def test_positional_arguments():
    plain, patched = pair()
    batch = tiny.text_batch()
    positions = torch.arange(tiny.TOKENS).expand(tiny.BATCH, -1)
    arguments = (batch["input_ids"], batch["attention_mask"], positions, None, None, batch["labels"])
    close(patched(*arguments).loss, plain(*arguments).loss)
    names = list(inspect.signature(patched.forward).parameters)
    assert names[:2] == ["input_ids", "attention_mask"] and "skip_logits" in names and names[-1] == "kwargs"


def test_arguments_it_has_never_heard_of_reach_the_model():
    _, patched = pair()
    seen = {}
    inner = patched.model.forward
    patched.model.forward = lambda *args, **kwargs: seen.update(kwargs) or inner(*args, **kwargs)
    patched(**tiny.text_batch(), an_argument_of_next_year=3)
    assert seen["an_argument_of_next_year"] == 3
    assert "return_token_accuracy" not in seen and "num_items_in_batch" not in seen


def test_a_loss_function_of_the_users_own_is_called():
    plain, patched = pair("gemma2")
    batch = tiny.text_batch()

    def per_token(logits, labels, vocab_size, **kwargs):
        rows = logits.float()[:, :-1].reshape(-1, vocab_size)
        return F.cross_entropy(rows, labels[:, 1:].reshape(-1), reduction="none", ignore_index=-100).square().mean()

    def usual(logits, labels, vocab_size, **kwargs):
        return 2 * F.cross_entropy(logits[:, :-1].float().reshape(-1, vocab_size), labels[:, 1:].reshape(-1))

    for function in (per_token, usual):
        for model in (plain, patched):
            model.loss_function = function
            model.zero_grad()
            model(**batch).loss.backward()
        close(patched(**batch).loss, plain(**batch).loss)
        close(patched.lm_head.weight.grad, plain.lm_head.weight.grad, 1e-5)


def test_a_loss_that_ends_in_cross_entropy_is_fused(fused_calls):
    plain, patched = pair("granite")
    batch = tiny.text_batch()

    def mean(logits, labels, vocab_size, **kwargs):
        mask = batch["attention_mask"][:, 1:].bool()
        return torch.nn.CrossEntropyLoss()(logits[..., :-1, :][mask].contiguous(), labels[..., 1:][mask])

    for model in (plain, patched):
        model.loss_function = mean
    close(patched(**batch).loss, plain(**batch).loss)
    assert len(fused_calls) == 1


def test_super_works_in_a_subclass():
    from transformers import LlamaForCausalLM

    class Doubling(LlamaForCausalLM):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.loss = 2 * output.loss
            return output

    plain = tiny.text_model("llama")
    patched = copy.deepcopy(plain)
    patched.__class__ = Doubling
    apply_liger_kernel_to_llama(model=patched)
    batch = tiny.text_batch()
    output = patched(**batch)
    close(output.loss, 2 * plain(**batch).loss)
    assert output.logits is None


def test_a_model_without_a_head_keeps_its_forward():
    from transformers import LlamaForSequenceClassification

    config = tiny.text_config("llama", num_labels=3)
    model = tiny.randomised(LlamaForSequenceClassification(config))
    ids = tiny.text_batch()["input_ids"]
    expected = model(input_ids=ids, labels=torch.tensor([0, 1, 2])).loss
    receipt = _apply_liger_kernel_to_instance(model)
    close(model(input_ids=ids, labels=torch.tensor([0, 1, 2])).loss, expected)
    assert "has no lm_head" in receipt.missing["LlamaForSequenceClassification"]


def test_outputs_and_forwards_can_be_pickled():
    _, patched = pair()
    output = patched(**tiny.text_batch(), return_token_accuracy=True)
    again = pickle.loads(pickle.dumps(output))
    assert type(again) is type(output) and again.token_accuracy.item() == output.token_accuracy.item()
    assert pickle.loads(pickle.dumps(llama_lce_forward)) is llama_lce_forward
    assert "fused_forward" in inspect.getsource(llama_lce_forward)


def test_generation_is_the_models_own():
    plain, patched = pair("qwen3")
    ids = tiny.text_batch()["input_ids"][:1]
    arguments = dict(max_new_tokens=5, do_sample=False)
    same = plain.eval().generate(ids, **arguments) == patched.eval().generate(ids, **arguments)
    assert bool(same.all())


def test_all_tokens_ignored():
    _, patched = pair()
    batch = tiny.text_batch()
    batch["labels"][:] = -100
    loss = patched(**batch).loss
    loss.backward()
    assert loss.item() == 0
    assert all(not p.grad.any() for p in patched.parameters() if p.grad is not None)


def test_gradient_checkpointing():
    plain, patched = pair()
    batch = tiny.text_batch()
    for model in (plain, patched):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model(**batch).loss.backward()
    close(patched.model.layers[0].mlp.up_proj.weight.grad, plain.model.layers[0].mlp.up_proj.weight.grad, 1e-5)


# Deferred logits on their own.


def test_loss_helpers_take_what_upstream_gives():
    hidden, weight = torch.randn(2, 5, 8), torch.randn(13, 8)
    labels = torch.randint(0, 13, (2, 5))
    plain = loss_utils.LigerForCausalLMLoss(hidden, weight, labels, 8)
    ignored = loss_utils.LigerForCausalLMLoss(hidden, weight, labels, 8, no_such_option=3, reduction="none")
    assert plain.item() == ignored.item()
    full = loss_utils.LigerForCausalLMLoss(hidden, weight, labels, 8, return_token_accuracy=True)
    loss, z_loss, accuracy, predicted = loss_utils.unpack_cross_entropy_result(full)
    assert loss.item() == plain.item() and z_loss is None and accuracy is not None and predicted is None
    assert loss_utils.unpack_cross_entropy_result((plain, None, accuracy))[2] is accuracy


def test_class_weights_in_evaluation(fused_calls):
    _, patched = pair()
    batch = tiny.text_batch()
    weight = torch.rand(tiny.VOCABULARY) + 0.5
    output = patched.eval()(**batch, ce_weight=weight)
    assert len(fused_calls) == 1
    expected = F.cross_entropy(output.logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), weight)
    close(output.loss, expected)


class Headless(torch.nn.Module):
    """A model whose head has another name."""

    def forward(self, input_ids=None, labels=None, **kwargs):
        return kwargs


def test_a_model_without_a_head_gets_its_options(monkeypatch):
    forward = lce.make_lce_forward(__name__, "Headless")
    lce.remember(Headless, forward)
    monkeypatch.setattr(Headless, "forward", forward)
    given = {"num_items_in_batch": 3, "ignore_index": 0, "shift_labels": torch.ones(1, 2)}
    assert Headless()(labels=torch.ones(1, 2), **given) == given
    assert Headless()(num_items_in_batch=3, label_smoothing=0.0) == {"num_items_in_batch": 3}
    with pytest.raises(ValueError, match="label_smoothing.*Headless has no such head"):
        Headless()(labels=torch.ones(1, 2), label_smoothing=0.1)


@pytest.mark.skipif(
    _versions.is_before("5.0", transformers.__version__), reason="its rotary embedding asks for the meta device's autocast"
)
def test_a_training_step_without_memory():
    """As those take who ask for shapes: a model on the meta device, which has neither kernels nor autocast."""
    model = tiny.text_model("llama").to("meta")
    apply_liger_kernel_to_llama(model=model)
    batch = {name: value.to("meta") for name, value in tiny.text_batch().items() if name != "attention_mask"}
    output = model.train()(**batch)
    output.loss.backward()
    assert output.loss.is_meta and all(p.grad is not None for p in model.parameters())
