"""Whoever watches or changes what goes through a head is served: hooks of every kind, of one module or of all."""

import copy

import pytest
import torch
import torch.nn as nn

from torch.nn.modules import module as torch_module

from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.test_heads import lora
from patching.test_heads import same_training
from patching.test_loss_forward import fused_calls  # noqa: F401

pytestmark = pytest.mark.smoke

# How a hook is registered on a module, what it does, and how many arguments it has.
HOOKS = {
    "forward": lambda m: m.register_forward_hook(lambda module, args, output: 1.5 * output),
    "forward, keywords": lambda m: m.register_forward_hook(lambda module, args, kw, y: 1.5 * y, with_kwargs=True),
    "forward, always": lambda m: m.register_forward_hook(lambda module, args, y: 1.5 * y, always_call=True),
    "forward, first": lambda m: m.register_forward_hook(lambda module, args, y: 1.5 * y, prepend=True),
    "forward pre": lambda m: m.register_forward_pre_hook(lambda module, args: (1.5 * args[0],)),
    "forward pre, keywords": lambda m: m.register_forward_pre_hook(
        lambda module, args, kw: ((1.5 * args[0],), kw), with_kwargs=True
    ),
    "backward": lambda m: m.register_full_backward_hook(lambda module, to_input, _: (0.5 * to_input[0],)),
    "backward pre": lambda m: m.register_full_backward_pre_hook(lambda module, gradients: (0.5 * gradients[0],)),
    "backward pre, first": lambda m: m.register_full_backward_pre_hook(lambda module, g: (0.5 * g[0],), prepend=True),
    "old backward": lambda m: m.register_backward_hook(lambda module, to_input, _: None),
}


def only(head, change):
    """A hook for all modules that changes what goes through one."""
    return lambda module, *arguments: change(*arguments) if module is head else None


GLOBAL_HOOKS = {
    "forward": lambda h: torch_module.register_module_forward_hook(only(h, lambda args, y: 1.5 * y)),
    "forward, keywords": lambda h: torch_module.register_module_forward_hook(
        only(h, lambda args, kw, y: 1.5 * y), with_kwargs=True
    ),
    "forward, always": lambda h: torch_module.register_module_forward_hook(
        only(h, lambda args, y: 1.5 * y), always_call=True
    ),
    "forward pre": lambda h: torch_module.register_module_forward_pre_hook(only(h, lambda args: (1.5 * args[0],))),
    "backward": lambda h: torch_module.register_module_full_backward_hook(only(h, lambda x, y: (0.5 * x[0],))),
    "backward pre": lambda h: torch_module.register_module_full_backward_pre_hook(only(h, lambda y: (0.5 * y[0],))),
}


def untied(family="llama"):
    plain = tiny.text_model(family, tie_word_embeddings=False)
    return plain, copy.deepcopy(plain)


def check_counts(plain, patched, fused):
    """That both train alike, without the fused loss, and that what was registered changed something."""
    before = tiny.text_model("llama", tie_word_embeddings=False)
    before(**tiny.text_batch()).loss.backward()
    same_training(plain, patched, tiny.text_batch())
    assert not fused
    wanted, found = before.model.embed_tokens.weight.grad, plain.model.embed_tokens.weight.grad
    return bool((wanted - found).abs().max() > 1e-3 * wanted.abs().max())


@pytest.mark.parametrize("first", ["hook", "patch"])
@pytest.mark.parametrize("kind", HOOKS)
def test_a_hook_of_the_head(kind, first, fused_calls):  # noqa: F811
    plain, patched = untied()
    if first == "patch":
        apply_liger_kernel_to_llama(model=patched)
    for model in (plain, patched):
        HOOKS[kind](model.lm_head)
    if first == "hook":
        receipt = apply_liger_kernel_to_llama(model=patched)
        assert "cannot be taken apart" in receipt.of("fused_linear_cross_entropy")[0].reason
    assert check_counts(plain, patched, fused_calls) == (kind != "old backward")


@pytest.mark.parametrize("kind", GLOBAL_HOOKS)
def test_a_hook_of_all_modules(kind, fused_calls):  # noqa: F811
    plain, patched = untied()
    apply_liger_kernel_to_llama(model=patched)
    batch = tiny.text_batch()
    handles = [GLOBAL_HOOKS[kind](model.lm_head) for model in (plain, patched)]
    try:
        same_training(plain, patched, batch)
    finally:
        for handle in handles:
            handle.remove()
    assert not fused_calls
    patched(**batch)
    assert len(fused_calls) == 1, "and without hooks the loss is fused again"


@pytest.mark.parametrize("part", ["wrapper", "copy", "base", "lora_A", "lora_B"])
@pytest.mark.parametrize("kind", ["forward", "backward pre"])
def test_a_hook_of_a_part_of_an_adapted_head(kind, part, fused_calls):  # noqa: F811
    model = tiny.text_model("llama", tie_word_embeddings=False)
    if part in ("wrapper", "copy"):
        plain = lora(model, modules_to_save=["lm_head"]).train()
    else:
        peft = pytest.importorskip("peft")
        torch.manual_seed(3)
        plain = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False))
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched.get_base_model())
    for each in (plain, patched):
        head = each.get_base_model().lm_head
        HOOKS[kind](
            {
                "wrapper": lambda: head,
                "copy": lambda: head.modules_to_save["default"],
                "base": lambda: head.base_layer,
                "lora_A": lambda: head.lora_A["default"],
                "lora_B": lambda: head.lora_B["default"],
            }[part]()
        )
    same_training(plain, patched, tiny.text_batch())
    # The narrow product is made by its module in the fused loss too.
    assert bool(fused_calls) == (part == "lora_A")


class Doubled(nn.Linear):
    """A linear layer whose call, and not its forward, does more."""

    def __call__(self, hidden):
        return 2 * super().__call__(hidden)


def test_a_call_of_its_own(fused_calls):  # noqa: F811
    plain, _ = untied()
    plain.lm_head.__class__ = Doubled
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    same_training(plain, patched, tiny.text_batch())
    assert not fused_calls


@pytest.mark.parametrize("adapted", [False, True])
def test_a_forward_on_the_instance(adapted, fused_calls):  # noqa: F811
    plain, _ = untied()
    if adapted:
        peft = pytest.importorskip("peft")
        config = peft.LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False)
        plain = peft.get_peft_model(plain, config).get_base_model()
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    for model in (plain, patched):
        model.lm_head.forward = lambda hidden, own=model.lm_head.forward: 2 * own(hidden)
    same_training(plain, patched, tiny.text_batch())
    assert not fused_calls


def test_a_hook_of_accelerate_that_changes_logits():
    hooks = pytest.importorskip("accelerate").hooks

    class Doubling(hooks.ModelHook):
        def post_forward(self, module, output):
            return 2 * output

    plain, patched = untied()
    apply_liger_kernel_to_llama(model=patched)
    for model in (plain, patched):
        hooks.add_hook_to_module(model.lm_head, Doubling())
        hooks.add_hook_to_module(model.lm_head, hooks.AlignDevicesHook(execution_device="cpu"), append=True)
    same_training(plain, patched, tiny.text_batch())


def test_a_head_that_is_no_module(fused_calls):  # noqa: F811
    plain, patched = untied()
    receipt = apply_liger_kernel_to_llama(model=patched)
    for model in (plain, patched):
        linear = model._modules.pop("lm_head")
        model.projection, model.__dict__["lm_head"] = linear, lambda hidden, own=linear: 2 * own(hidden)
    same_training(plain, patched, tiny.text_batch())
    assert not fused_calls and not receipt.missing


@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm", "orthogonal"])
def test_a_parametrised_weight_is_computed_once(name, fused_calls):  # noqa: F811
    plain, patched = untied()
    apply_liger_kernel_to_llama(model=patched)
    for model in (plain, patched):
        torch.manual_seed(4)
        getattr(nn.utils.parametrizations, name)(model.lm_head)
    for _ in range(3):
        same_training(plain, patched, tiny.text_batch(), 1e-5)
        plain.zero_grad()
        patched.zero_grad()
    assert len(fused_calls) == 3
