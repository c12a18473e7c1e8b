"""Forwards of a user's own: they read their model's head and put its logits together as they like."""

import copy

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from transformers import LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from liger_kernel.transformers.model.stand_ins import head_view
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.test_heads import same_training
from patching.test_loss_forward import close
from patching.test_loss_forward import fused_calls  # noqa: F401

pytestmark = pytest.mark.smoke


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits):
        ctx.save_for_backward(logits)
        return logits**3 / 9

    @staticmethod
    def backward(ctx, gradient):
        (logits,) = ctx.saved_tensors
        return gradient * logits**2 / 3


def in_no_grad(self, hidden):
    with torch.no_grad():
        certainty = self.lm_head(hidden).softmax(-1).amax(-1, keepdim=True)
    return self.lm_head(hidden) * certainty


def lent(self, hidden):
    weight = F.normalize(self.lm_head.weight, dim=-1)
    return torch.func.functional_call(self.lm_head, {"weight": weight}, (hidden,))


def copied(self, hidden):
    head = copy.deepcopy(self.lm_head)
    assert type(head) is nn.Linear and head.weight is not self.lm_head.weight
    return head(hidden).detach() + self.lm_head(hidden)


def replaced(self, hidden):
    before, self.lm_head = self.lm_head, nn.Linear(32, tiny.VOCABULARY, bias=False)
    self.lm_head.weight.data.copy_(torch.arange(32 * tiny.VOCABULARY).view(-1, 32).cos()).requires_grad_(False)
    logits = self.lm_head(hidden)
    self.lm_head = before
    return logits


def in_autocast(self, hidden):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.lm_head(hidden)


# What a forward does with its head, and whether its loss is still fused.
BODIES = {
    "as ever": (lambda self, h: self.lm_head(h), True),
    "its weight's type": (lambda self, h: self.lm_head(h.to(self.lm_head.weight.dtype)), True),
    "its weight's device": (lambda self, h: self.lm_head(h.to(self.lm_head.weight.device)), True),
    "its input's size": (lambda self, h: self.lm_head(h[..., : self.lm_head.in_features]), True),
    "its output's size": (lambda self, h: self.lm_head(h).view(-1, 11, self.lm_head.out_features), True),
    "its bias": (lambda self, h: self.lm_head(h) if self.lm_head.bias is None else None, True),
    "its kind": (lambda self, h: self.lm_head(h if isinstance(self.lm_head, nn.Linear) else None), True),
    "its parameters": (lambda self, h: self.lm_head(h.to(next(self.lm_head.parameters()).device)), True),
    "its state": (lambda self, h: self.lm_head(h * (1 + 0 * self.lm_head.state_dict()["weight"].sum())), True),
    "its mode": (lambda self, h: self.lm_head(h) if self.lm_head.training else None, True),
    "its name": (lambda self, h: self.lm_head(h) if "Linear" in repr(self.lm_head) else None, True),
    "a part of its weight": (lambda self, h: self.lm_head(h) + h @ self.lm_head.weight[:1].T, False),
    "its weight": (lambda self, h: F.linear(h, F.normalize(self.lm_head.weight, dim=-1)), False),
    "its forward": (lambda self, h: self.lm_head.forward(h), False),
    "by keyword": (lambda self, h: self.lm_head(input=h), False),
    "the output embeddings": (lambda self, h: self.get_output_embeddings()(h), False),
    "in halves": (lambda self, h: torch.cat([self.lm_head(h[:1]), self.lm_head(h[1:])]), False),
    "one token at a time": (lambda self, h: torch.stack([self.lm_head(h[:, i]) for i in range(h.shape[1])], 1), False),
    "in a module": (lambda self, h: nn.Sequential(nn.Tanh(), self.lm_head)(h), True),
    "a function of one's own": (lambda self, h: Cube.apply(self.lm_head(h)), False),
    "a change in place": (lambda self, h: self.lm_head(h).mul_(0.5), False),
    "a change of some": (lambda self, h: self.lm_head(h).index_fill(-1, torch.tensor([0, 1]), -5.0), False),
    "a scale": (lambda self, h: 30 * torch.tanh(self.lm_head(h) * 0.5 / 30), True),
    "in no_grad too": (in_no_grad, False),
    "with another weight": (lent, False),
    "a copy": (copied, False),
    "another head": (replaced, False),
    "in autocast": (in_autocast, False),
}


def body(name):
    operation, _ = BODIES[name]

    class Own(LlamaForCausalLM):
        def forward(self, input_ids=None, attention_mask=None, labels=None, **kwargs):
            hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            logits = operation(self, hidden)
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
            return CausalLMOutputWithPast(loss=loss, logits=logits)

    return Own


def pair(cls, **changes):
    plain = tiny.text_model("llama", **changes)
    plain.__class__ = cls
    patched = copy.deepcopy(plain)
    return plain, patched


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", BODIES)
def test_a_forward_of_ones_own(name, tied, fused_calls):  # noqa: F811
    plain, patched = pair(body(name), tie_word_embeddings=tied)
    head, names = patched.lm_head, set(vars(patched.lm_head))
    apply_liger_kernel_to_llama(model=patched)
    # In bf16 the last digit of a gradient may go either way.
    same_training(plain, patched, tiny.text_batch(), 1e-2 if name == "in autocast" else 3e-6)
    assert bool(fused_calls) == BODIES[name][1]
    assert patched._modules["lm_head"] is head and set(vars(head)) == names, "the head is as it was"


@pytest.mark.parametrize("name", ["its weight", "in halves", "as ever"])
def test_options_hold_for_logits_that_a_forward_makes(name):
    plain, patched = pair(body(name))
    apply_liger_kernel_to_llama(model=patched)
    batch = tiny.text_batch()
    logits = plain(**batch).logits[:, :-1].flatten(0, 1)
    expected = F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), label_smoothing=0.2)
    output = patched(**batch, label_smoothing=0.2, return_token_accuracy=True)
    close(output.loss, expected)
    assert output.logits is None and output.token_accuracy is not None
    close(patched(**batch, num_items_in_batch=7).loss, plain(**batch, num_items_in_batch=7).loss)


COMPILED = ["its weight's type", "in halves", "a function of one's own", "its kind", "its weight"]


@pytest.mark.parametrize("name", COMPILED)
def test_torch_compile_of_a_forward_of_ones_own(name):
    """Without layers: a compiler goes through each anew, and they have no part in what these do with the head."""
    torch._dynamo.reset()
    plain, patched = pair(body(name), num_hidden_layers=0)
    apply_liger_kernel_to_llama(model=patched)
    # In place, so that parameters keep their names.
    patched.compile(fullgraph=True, backend="aot_eager")
    same_training(plain, patched, tiny.text_batch(), 1e-5)


def test_torch_compile_of_a_loss_of_ones_own():
    torch._dynamo.reset()
    plain = tiny.text_model("gemma2", num_hidden_layers=1)
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched)
    for model in (plain, patched):
        model.loss_function = lambda logits, labels, vocab_size, **_: Cube.apply(torch.cat([logits, logits])).mean()
    patched.compile(fullgraph=True, backend="aot_eager")
    same_training(plain, patched, tiny.text_batch(), 1e-5)


OUTPUTS = {
    "dictionary": lambda loss, logits: {"loss": loss, "logits": logits, "more": [logits]},
    "tuple": lambda loss, logits: (loss, logits),
    "list": lambda loss, logits: [loss, (logits, logits)],
    "loss alone": lambda loss, logits: loss,
    "another field": lambda loss, logits: CausalLMOutputWithPast(loss=loss, logits=logits, hidden_states=logits[:, 1:]),
}


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_no_deferred_logits_leave_a_forward(kind, skip):
    class Own(LlamaForCausalLM):
        def forward(self, input_ids=None, labels=None, **kwargs):
            logits = self.lm_head(self.model(input_ids=input_ids).last_hidden_state)
            return OUTPUTS[kind](self.loss_function(logits, labels, self.config.vocab_size), logits)

    plain, patched = pair(Own)
    apply_liger_kernel_to_llama(model=patched)
    batch = tiny.text_batch()
    del batch["attention_mask"]
    expected, found = plain(**batch), patched(**batch, skip_logits=skip)
    assert isinstance(found, type(expected))
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        assert a is None and skip or type(a) is torch.Tensor
        if a is not None:
            close(a, b)


def tensors(value):
    if isinstance(value, dict):
        return [
            t
            for name in ("loss", "logits", "more", "hidden_states")
            if name in value or hasattr(value, name)
            for t in tensors(value.get(name))
        ]
    return [t for one in value for t in tensors(one)] if isinstance(value, (list, tuple)) else [value]


def test_a_stand_in_that_a_forward_keeps_is_the_head():
    class Own(LlamaForCausalLM):
        def forward(self, input_ids=None, labels=None, **kwargs):
            kept.append(self.lm_head)
            logits = self.lm_head(self.model(input_ids=input_ids).last_hidden_state)
            return CausalLMOutputWithPast(loss=self.loss_function(logits, labels, self.config.vocab_size))

    kept = []
    _, patched = pair(Own)
    apply_liger_kernel_to_llama(model=patched)
    batch = tiny.text_batch()
    patched(input_ids=batch["input_ids"], labels=batch["labels"])
    hidden = torch.randn(2, 32)
    assert type(kept[0](hidden)) is torch.Tensor and torch.equal(kept[0](hidden), patched.lm_head(hidden))


def test_a_stand_in_is_one_with_its_head():
    head = nn.Linear(4, 6)
    view = head_view(head, lambda hidden: "deferred")
    assert isinstance(view, nn.Linear) and type(view).__name__ == "Linear" and repr(view) == repr(head)
    assert view(torch.ones(2, 4)) == "deferred" and view.weight is head.weight
    view.scale = 3
    view.bias = None
    assert head.scale == 3 and head.bias is None and "_liger_head" not in vars(head) and not list(head.children())
    assert set(dict(view.named_parameters())) == {"weight"} and list(view.state_dict()) == ["weight"]
    copied = copy.deepcopy(view)
    assert type(copied) is nn.Linear and copied.weight is not head.weight
    view.to(torch.float64)
    assert head.weight.dtype == torch.float64
    assert torch.is_tensor(view(input=torch.ones(2, 4, dtype=torch.float64)))
