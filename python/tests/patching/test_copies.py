"""Copies of patched models compute what the model does, with weights of their own: deepcopy, pickle, replicas."""

import copy
import io
import pickle

import pytest
import torch

from processes import forked

from liger_kernel.transformers import LigerRMSNorm
from liger_kernel.transformers.binding import binding_of
from liger_kernel.transformers.binding import original_class
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from patching import tiny
from patching.conftest import results
from patching.every import EVERY_KERNEL
from patching.every import FUSED
from patching.every import SMOKE
from patching.every import apply
from patching.every import apply_to_classes
from patching.every import make


def through_torch_save(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": through_torch_save,
}


def spoil(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)


def copies_of(model):
    """Copies made in every way that this model allows, before it has run: transformers' hooks cannot be pickled."""
    copies = {}
    for way, make_copy in WAYS.items():
        try:
            copies[way] = make_copy(model)
        except AttributeError as error:
            if "output_capturing_hook" not in str(error):
                raise
    return copies


def check_copies(model, batch):
    copies = copies_of(model)
    assert "deepcopy" in copies
    loss, logits, gradients = results(model, batch)
    spoil(model)
    for way, made in copies.items():
        found = results(made, batch)
        assert torch.equal(found[0], loss) and torch.equal(found[1], logits), way
        assert set(found[2]) == set(gradients), way
        assert all(torch.equal(found[2][name], gradient) for name, gradient in gradients.items()), way
        assert repr(made) == repr(model), way


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_copies_of_a_patched_model(family):
    model, batch = make(family)
    receipt = apply(model, **FUSED)
    check_copies(model, batch)
    assert "LigerFusedLinearCrossEntropy" in receipt.kernels.values() or family == "llama4"


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_copies_of_a_model_of_patched_classes(family):
    apply_to_classes(make(family)[0], **FUSED)
    check_copies(*make(family))


@pytest.mark.parametrize("family", sorted(SMOKE))
def test_copies_of_a_model_that_was_there_before_its_classes_were_patched(family):
    model, batch = make(family)
    patched = copy.deepcopy(model)
    apply(patched, **FUSED)
    apply_to_classes(model, fused_linear_cross_entropy=False, cross_entropy=False)
    check_copies(model, batch)
    check_copies(patched, batch)
    assert not any(binding_of(module) for module in copy.deepcopy(model).modules())


def replica(model):
    """What DataParallel makes of a model for one device: its modules' copies, here with larger parameters."""
    modules = list(model.modules())
    copies = {module: module._replicate_for_data_parallel() for module in modules}
    for module, made in copies.items():
        for name, child in module._modules.items():
            made._modules[name] = None if child is None else copies[child]
        for name, parameter in module._parameters.items():
            tensor = None if parameter is None else (1.25 * parameter.detach()).requires_grad_()
            # Not a parameter, but a plain tensor that is an attribute. Some models ask the others for their dtype.
            if binding_of(module) or isinstance(module, torch.nn.Linear):
                setattr(made, name, tensor)
            else:
                made._parameters[name] = tensor
        for name, buffer in module._buffers.items():
            made._buffers[name] = None if buffer is None else buffer.clone()
    return copies[model]


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_a_replica_computes_with_its_own_parameters(family):
    model, batch = make(family)
    plain = copy.deepcopy(model)
    apply(model, **FUSED)
    expected = replica(plain)(**batch).loss.item()
    assert replica(model)(**batch).loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_copy_and_the_original_train_apart():
    model = tiny.text_model("llama")
    _apply_liger_kernel_to_instance(model)
    made = copy.deepcopy(model)
    for rate, each in ((1e-2, model), (1e-3, made)):
        optimiser = torch.optim.SGD(each.parameters(), lr=rate)
        for _ in range(3):
            optimiser.zero_grad()
            each(**tiny.text_batch()).loss.backward()
            optimiser.step()
    plain = tiny.text_model("llama")
    plain.load_state_dict(made.state_dict())
    expected = plain(**tiny.text_batch()).loss.item()
    assert made(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)
    assert model(**tiny.text_batch()).loss.item() != pytest.approx(expected, rel=1e-3)


LOADS = """
import io, sys, torch
for path in sys.argv[1:]:
    saved, batch, loss = torch.load(path, weights_only=False)
    model = torch.load(io.BytesIO(saved), weights_only=False)
    assert "Liger" in repr(model), repr(model)
    print((model(**batch).loss - loss).abs().item())
"""


@pytest.mark.smoke
def test_a_new_process_loads_patched_models(tmp_path):
    """What a spawned worker gets: pickle's bytes, and no classes made beforehand.

    Not of models whose outputs transformers records by hooks, which a new process does not find.
    """
    paths = []
    for family in sorted(SMOKE - {"llava", "mixtral", "qwen3_vl_moe"}):
        for patch_it in (lambda model: apply(model, **FUSED), lambda model: apply_to_classes(model, **FUSED)):
            model, batch = make(family)
            patch_it(model)
            if binding_of(model) is None:
                model = make(family)[0]
            paths.append(tmp_path / f"{len(paths)}.pt")
            file = io.BytesIO()
            torch.save(model, file)
            torch.save((file.getvalue(), batch, model(**batch).loss.detach()), paths[-1])
    errors = forked(LOADS, *map(str, paths)).split()
    # A process that did not patch the classes takes the loss from logits.
    assert all(float(error) < 1e-5 for error in errors) and len(errors) == len(paths)


@pytest.mark.smoke
def test_a_patched_model_is_saved_and_made_again(tmp_path):
    model = tiny.text_model("llama")
    _apply_liger_kernel_to_instance(model)
    model = pickle.loads(pickle.dumps(model))
    model.save_pretrained(tmp_path)
    assert model.config.architectures == ["LlamaForCausalLM"]
    loaded = type(model).from_pretrained(tmp_path, dtype=torch.float32).train()
    assert not any(binding_of(module) for module in loaded.modules()), "a model made anew is patched"
    expected = loaded(**tiny.text_batch()).loss.item()
    assert model(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.smoke
def test_classes_are_pickled_by_what_they_were_made_from():
    model = tiny.text_model("llama")
    _apply_liger_kernel_to_instance(model)
    for module in model.modules():
        assert pickle.loads(pickle.dumps(type(module))) is type(module)
        assert copy.deepcopy(type(module)) is type(module)


def test_other_classes_over_a_bound_one():
    """torch's parametrisations and FSDP change the class again, to one derived from what they find."""
    from torch.nn.utils import parametrize

    model, plain = tiny.text_model("llama"), tiny.text_model("llama")
    _apply_liger_kernel_to_instance(model)
    for each in (model, plain):
        parametrize.register_parametrization(each.model.norm, "weight", torch.nn.Softplus())
    assert isinstance(model.model.norm, LigerRMSNorm) and binding_of(model.model.norm)
    expected = plain(**tiny.text_batch()).loss.item()
    assert model(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)
    assert copy.deepcopy(model)(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)
    receipt = _apply_liger_kernel_to_instance(plain)
    assert "parametrize" in receipt.missing["model.norm"]
    for each in (model, plain):
        parametrize.remove_parametrizations(each.model.norm, "weight")
    assert original_class(type(model.model.norm)) is type(plain.model.norm)


def test_a_class_derived_from_a_patched_one():
    from transformers.models.llama import modeling_llama

    _apply_liger_kernel("llama")

    class Doubled(modeling_llama.LlamaRMSNorm):
        def forward(self, hidden_states):
            return 2 * super().forward(hidden_states)

    norm, x = Doubled(8, eps=1e-3), torch.randn(2, 8)
    wanted = original_class(modeling_llama.LlamaRMSNorm)(8, eps=1e-3)(x)
    assert isinstance(norm, LigerRMSNorm) and torch.allclose(norm(x), 2 * wanted)
    assert torch.equal(copy.deepcopy(norm)(x), norm(x))
