"""A wrapper given to the patch: what is inside is patched, its options hold, and the receipt is of it."""

import copy

import pytest
import torch
import torch.nn as nn

from transformers import LlamaModel
from transformers import PreTrainedModel

from liger_kernel import report
from liger_kernel.transformers.model.unwrapping import unwrapped
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.test_heads import lora
from patching.test_loss_forward import close
from patching.test_loss_forward import fused_calls  # noqa: F401

pytestmark = pytest.mark.smoke


class Holding(nn.Module):
    """Calls its model and answers for nothing."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class Forwarding(Holding):
    """Answers for all that its model has."""

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


class Hiding(nn.Module):
    """Keeps its model where torch does not look for modules."""

    def __init__(self, model):
        super().__init__()
        self.__dict__["inner"] = model

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)

    def parameters(self, recurse=True):
        return self.inner.parameters(recurse)


class Foreign:
    """Not a module."""

    def __init__(self, model):
        self.models = [model]

    def __getattr__(self, name):
        return getattr(self.__dict__["models"][0], name)

    def __call__(self, *args, **kwargs):
        return self.models[0](*args, **kwargs)


class Pretrained(PreTrainedModel):
    """A transformers class of a user's around another."""

    def __init__(self, model):
        super().__init__(model.config)
        self.inner = model

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def prompt_tuned(model):
    peft = pytest.importorskip("peft")
    torch.manual_seed(3)
    return peft.get_peft_model(model, peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))


def compiled(model):
    return torch.compile(model, backend="eager")


WRAPPERS = {
    "nothing": lambda model: model,
    "LoRA": lora,
    "LoRA, head saved": lambda model: lora(model, modules_to_save=["lm_head"]),
    "prompt tuning": prompt_tuned,
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "compiled LoRA": lambda model: compiled(lora(model)),
    "holding": Holding,
    "forwarding": Forwarding,
    "twice": lambda model: Forwarding(Holding(model)),
    "hiding": Hiding,
    "foreign": Foreign,
    "a transformers class": Pretrained,
    "forwarding LoRA": lambda model: Forwarding(lora(model)),
}

# And what is compiled.
COMPILED = {"compiled": WRAPPERS["nothing"], "compiled LoRA": lora}


@pytest.mark.parametrize("by", ["family", "instance"])
@pytest.mark.parametrize("kind", WRAPPERS)
def test_what_is_inside_is_patched(kind, by, fused_calls):  # noqa: F811
    torch._dynamo.reset()
    # A compiler goes through every layer anew, and what it makes of the plain model is not what is tested.
    layers = 1 if kind in COMPILED else 2
    model = tiny.text_model("llama", tie_word_embeddings=False, num_hidden_layers=layers)
    plain, patched = COMPILED.get(kind, WRAPPERS[kind])(model), WRAPPERS[kind](copy.deepcopy(model))
    if by == "family":
        receipt = apply_liger_kernel_to_llama(model=patched, strict=True)
    else:
        receipt = _apply_liger_kernel_to_instance(patched)
    assert receipt.scope == "LlamaForCausalLM" and not receipt.missing
    batch = tiny.text_batch()
    for options in (dict(num_items_in_batch=7), {}):
        results = []
        for each in (plain, patched):
            loss = each(**batch, **options).loss
            loss.backward()
            results.append((loss, [p.grad for p in each.parameters() if p.grad is not None]))
        close(results[1][0], results[0][0])
        for a, b in zip(*(gradients for _, gradients in results), strict=True):
            close(a, b, 1e-5)
    assert len(fused_calls) == 2 or kind in COMPILED
    if kind not in COMPILED:
        assert patched(**batch, return_token_accuracy=True).token_accuracy is not None
    if isinstance(patched, nn.Module):
        assert report(patched).kernels == receipt.kernels


def test_distributed_data_parallel(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(tiny.text_model("llama"))
        receipt = _apply_liger_kernel_to_instance(wrapped)
        batch = tiny.text_batch()
        output = wrapped(**batch, num_items_in_batch=7)
        close(output.loss, tiny.text_model("llama")(**batch, num_items_in_batch=7).loss)
        assert output.logits is None and receipt.scope == "LlamaForCausalLM"
    finally:
        torch.distributed.destroy_process_group()


def test_several_models_in_one():
    names = ("LlamaForCausalLM",)
    policy, reference, body = (tiny.text_model("llama") for _ in range(3))
    both = Forwarding(policy)
    both.reference = reference
    assert unwrapped(both, names) is policy, "it is the policy's head that it answers for"
    both = Holding(policy)
    both.reference = reference
    assert unwrapped(both, names) is both, "neither is it"
    both = Holding(policy)
    both.encoder = body.model
    assert isinstance(body.model, LlamaModel) and unwrapped(both, names) is policy


def test_what_is_no_wrapper_is_itself():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = tiny.text_model("llama").model
            self.lm_head = nn.Linear(32, 7)

    for model in (Own(), nn.Linear(2, 2), tiny.text_model("llama").model, None, nn.Sequential()):
        assert unwrapped(model, ("LlamaForCausalLM",)) is model
    model = Holding(tiny.text_model("llama").model)
    assert unwrapped(model, ("LlamaForCausalLM",)) is model.inner
