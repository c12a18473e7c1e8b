"""Trainer with losses of its own or of a user's: the labels are not in the batch, and logits are needed."""

import pytest
import torch
import torch.nn.functional as F

from transformers import Trainer
from transformers import TrainingArguments

from patching import tiny
from patching.test_loss_forward import pair

pytestmark = pytest.mark.smoke


def rows():
    return [dict(input_ids=ids, labels=ids) for ids in tiny.text_batch(rows=6)["input_ids"]]


def squared(outputs, labels, num_items_in_batch=None):
    logits = outputs["logits"][:, :-1].flatten(0, 1)
    return F.cross_entropy(logits, labels[:, 1:].flatten(), reduction="none").square().mean()


def without_labels(outputs, labels, num_items_in_batch=None):
    return outputs["logits"].square().mean()


def most_likely(logits, labels):
    return (logits[0] if isinstance(logits, tuple) else logits).argmax(-1)


def counted(prediction):
    return {"accuracy": float((prediction.predictions[:, :-1] == prediction.label_ids[:, 1:]).mean())}


# Arguments of Trainer, and of its TrainingArguments.
CASES = {
    "label smoothing": ({}, dict(label_smoothing_factor=0.1)),
    "label smoothing, predictions": (
        dict(compute_metrics=counted, preprocess_logits_for_metrics=most_likely),
        dict(label_smoothing_factor=0.1),
    ),
    "a loss function": (dict(compute_loss_func=squared), {}),
    "a loss function of logits alone": (dict(compute_loss_func=without_labels), {}),
    "a loss function, predictions": (
        dict(compute_loss_func=squared, compute_metrics=counted, preprocess_logits_for_metrics=most_likely),
        {},
    ),
    "both": (dict(compute_loss_func=squared), dict(label_smoothing_factor=0.1)),
    "loss alone": ({}, dict(prediction_loss_only=True)),
    "loss alone, smoothed": ({}, dict(prediction_loss_only=True, label_smoothing_factor=0.1)),
    "predictions": (dict(compute_metrics=counted, preprocess_logits_for_metrics=most_likely), {}),
    "named labels": ({}, dict(label_names=["labels"], label_smoothing_factor=0.1)),
    "evaluation first": ({}, dict(label_smoothing_factor=0.1, eval_on_start=True, eval_strategy="steps", eval_steps=1)),
}


def evaluated(case, liger, folder):
    more, arguments = CASES[case]
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=2, report_to=[], save_strategy="no",
        use_cpu=True, disable_tqdm=True, seed=1, use_liger_kernel=liger, **arguments,
    )  # fmt: skip
    model = tiny.text_model("llama")
    trainer = Trainer(model=model, args=arguments, train_dataset=rows(), eval_dataset=rows()[:4], **more)
    trainer.train()
    metrics = trainer.evaluate()
    return {name: value for name, value in metrics.items() if name in ("eval_loss", "eval_accuracy")}


@pytest.mark.parametrize("case", CASES)
def test_trainer_evaluates_as_without_kernels(case, tmp_path):
    expected = evaluated(case, False, tmp_path / "plain")
    assert evaluated(case, True, tmp_path / "liger") == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_skip_logits_without_labels_in_evaluation(mode):
    plain, patched = pair()
    ids = tiny.text_batch()["input_ids"]
    for training in (True, False):
        with mode():
            output = patched.train(training)(input_ids=ids, skip_logits=True, num_items_in_batch=7)
            assert output.loss is None and torch.allclose(output.logits, plain(input_ids=ids).logits, atol=1e-5)
    with pytest.raises(ValueError, match="skip_logits is True"):
        patched(input_ids=ids, skip_logits=True)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_skip_logits_with_labels_in_evaluation(mode):
    plain, patched = pair("gemma2")
    batch = tiny.text_batch()
    with mode():
        output = patched.eval()(**batch, skip_logits=True)
        assert output.logits is None
        assert output.loss.item() == pytest.approx(plain.eval()(**batch).loss.item(), rel=1e-5)
