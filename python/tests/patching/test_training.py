"""The ways people use it: Trainer, AutoLigerKernelForCausalLM, torch.compile, and proof that the kernels ran."""

import copy
import json
import os
import sys

import pytest
import torch
import transformers

from processes import forked

from liger_kernel import launch_counts
from liger_kernel import report
from liger_kernel.transformers import AutoLigerKernelForCausalLM
from liger_kernel.transformers import apply_liger_kernel_to_llama
from liger_kernel.transformers.model.lce import is_loss_forward
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from patching import tiny


@pytest.mark.smoke
def test_the_transformers_that_was_asked_for():
    wanted = os.environ.get("LIGER_TEST_TRANSFORMERS", transformers.__version__)
    assert transformers.__version__.startswith(wanted)


def launches():
    return dict(launch_counts())


def launched(before):
    return {name: count - before.get(name, 0) for name, count in launches().items() if count > before.get(name, 0)}


@pytest.mark.smoke
def test_a_training_step_runs_every_kernel(device):
    """In a process of its own: what other tests leave in torch, such as hooks on all modules, keeps kernels off."""
    script = f"""
from patching import tiny
from liger_kernel import launch_counts
from liger_kernel.transformers import apply_liger_kernel_to_llama
model = tiny.text_model("llama").to({device!r})
apply_liger_kernel_to_llama(model=model)
model(**{{name: tensor.to({device!r}) for name, tensor in tiny.text_batch().items()}}).loss.backward()
print(" ".join(launch_counts()))
"""
    names = forked(script).lower().replace("_", "")
    for kernel in ("rmsnorm", "rope", "swiglu", "crossentropy"):
        assert kernel in names, f"no {kernel} among {names}"


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index % 4)
        ids = torch.randint(3, tiny.VOCABULARY, (tiny.TOKENS,), generator=generator)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids, "not_an_argument": 3}


def trained(tmp_path, use_liger, device="cpu", **options):
    from transformers import Trainer
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=20,
        logging_steps=1,
        learning_rate=3e-3,
        report_to=[],
        use_cpu=device == "cpu",
        seed=1,
        save_strategy="no",
        use_liger_kernel=use_liger,
        **options,
    )
    trainer = Trainer(
        model=tiny.text_model("llama"), args=arguments, train_dataset=Rows(), eval_dataset=Rows(), data_collator=None
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return trainer, torch.tensor(losses)


@pytest.mark.smoke
def test_trainer_with_use_liger_kernel(tmp_path, caplog, device):
    plain, expected = trained(tmp_path, use_liger=False, device=device)
    before = launches()
    with caplog.at_level("INFO", logger="liger_kernel"):
        trainer, losses = trained(tmp_path, use_liger=True, device=device)
    assert trainer.model.device.type == device
    assert "LigerRMSNorm" in caplog.text and "LigerFusedLinearCrossEntropy" in caplog.text
    assert is_loss_forward(trainer.model.forward) and launched(before)
    receipt = report(trainer.model)
    assert not receipt.missing and {"LigerRMSNorm", "LigerSwiGLUMLP"} <= set(receipt.kernels.values())
    assert losses[-1] < 0.7 * losses[0]
    # Logged losses are rounded to four decimals.
    assert ((losses - expected).abs() <= 2e-3 * expected).all(), f"{losses} {expected}"
    assert trainer.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], rel=2e-3)


def test_trainer_takes_the_switches_from_its_configuration(tmp_path):
    switches = {"rope": False, "swiglu": False, "fused_linear_cross_entropy": True}
    trainer, _ = trained(tmp_path, use_liger=True, liger_kernel_config=switches)
    assert "LigerRMSNorm" in repr(trainer.model) and "LigerSwiGLUMLP" not in repr(trainer.model)


@pytest.mark.smoke
def test_auto_model_from_a_folder_and_from_a_configuration(tmp_path):
    plain = tiny.text_model("llama")
    plain.save_pretrained(tmp_path)
    expected = plain(**tiny.text_batch()).loss
    model = AutoLigerKernelForCausalLM.from_pretrained(tmp_path, swiglu=False, dtype=torch.float32).train()
    assert "LigerRMSNorm" in repr(model) and "LigerSwiGLUMLP" not in repr(model)
    output = model(**tiny.text_batch())
    assert output.logits is None and output.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    made = AutoLigerKernelForCausalLM.from_config(tiny.text_config("llama"))
    assert "LigerSwiGLUMLP" in repr(made)


def test_auto_model_of_an_adapter(tmp_path):
    """The folder holds the adapter alone, and names its base."""
    peft = pytest.importorskip("peft")
    base, folder = tmp_path / "base", tmp_path / "adapter"
    tiny.text_model("llama").save_pretrained(base)
    plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain = peft.get_peft_model(plain, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    plain.save_pretrained(folder)
    model = AutoLigerKernelForCausalLM.from_pretrained(folder, swiglu=False, dtype=torch.float32)
    assert "LigerRMSNorm" in repr(model) and "LigerSwiGLUMLP" not in repr(model)
    expected = plain.eval()(**tiny.text_batch()).loss.item()
    assert model.eval()(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-6)


CODE_OF_A_CHECKPOINT = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own_llama"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_auto_model_whose_code_comes_with_the_checkpoint(tmp_path, monkeypatch):
    """That code is named after transformers' class, which this one stands for."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])
    tiny.text_model("llama").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    names = {"AutoConfig": "own_modeling.OwnConfig", "AutoModelForCausalLM": "own_modeling.OwnModel"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "own_llama", "auto_map": names}))
    (tmp_path / "own_modeling.py").write_text(CODE_OF_A_CHECKPOINT)
    # First, as transformers knows the class from then on.
    model = AutoLigerKernelForCausalLM.from_pretrained(tmp_path, trust_remote_code=True)
    expected = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, trust_remote_code=True)
    assert type(model).__name__ == "OwnModel"
    losses = [each.eval()(**tiny.text_batch()).loss.item() for each in (model, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3"])
def test_torch_compile_takes_a_patched_model_as_one_graph(family):
    """With one layer, as a compiler goes through each anew."""
    torch._dynamo.reset()
    plain = tiny.text_model(family, num_hidden_layers=1)
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched)
    compiled = torch.compile(patched, fullgraph=True, backend="aot_eager")
    batch = tiny.text_batch()
    output = compiled(**batch)
    output.loss.backward()
    expected = plain(**batch).loss
    expected.backward()
    assert output.logits is None and output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    found, wanted = patched.model.embed_tokens.weight.grad, plain.model.embed_tokens.weight.grad
    assert ((found - wanted).abs().max() / wanted.abs().max()).item() < 1e-5


@pytest.mark.parametrize("family", ["llama", "granite"])
def test_torch_compile_takes_the_kernel_of_a_models_loss_function(family):
    torch._dynamo.reset()
    plain = tiny.text_model(family, num_hidden_layers=1)
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched, cross_entropy=True, fused_linear_cross_entropy=False)
    compiled = torch.compile(patched, fullgraph=True, backend="aot_eager")
    loss, expected = (model(**tiny.text_batch()).loss for model in (compiled, plain))
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(patched.lm_head.weight.grad, plain.lm_head.weight.grad, rtol=1e-4, atol=1e-6)


def test_torch_compile_with_patched_classes():
    torch._dynamo.reset()
    plain = tiny.text_model("llama", num_hidden_layers=1)
    expected = plain(**tiny.text_batch()).loss
    apply_liger_kernel_to_llama()
    model = tiny.text_model("llama", num_hidden_layers=1)
    model.load_state_dict(plain.state_dict())
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert compiled(**tiny.text_batch()).loss.item() == pytest.approx(expected.item(), rel=1e-5)
