"""What is on a module before the patch stays in force: a user's forward, accelerate's hooks, hooks of activations."""

import copy

import pytest
import torch

from accelerate import cpu_offload
from accelerate import dispatch_model
from accelerate.hooks import ModelHook
from accelerate.hooks import add_hook_to_module
from accelerate.hooks import remove_hook_from_module
from torch.nn.modules import module as torch_module

from liger_kernel import launch_counts
from liger_kernel.transformers import LigerRMSNorm
from liger_kernel.transformers import leaves
from liger_kernel.transformers.binding import binding_of
from liger_kernel.transformers.fallback import SILU
from liger_kernel.transformers.fallback import may_fuse
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.every import EVERY_KERNEL
from patching.every import FUSED
from patching.every import SMOKE
from patching.every import apply
from patching.every import make


def first_of_each_kind(model, receipt):
    """The first module of each class that runs a kernel, and the model itself."""
    bound = {name for name in receipt.kernels if name in dict(model.named_modules())}
    kinds = {type(model.get_submodule(name)): name for name in sorted(bound, reverse=True)}
    return sorted({*kinds.values(), ""})


def halve(module):
    inner = module.forward

    def halved(*args, **kwargs):
        result = inner(*args, **kwargs)
        if torch.is_tensor(result):
            return 0.5 * result
        if isinstance(result, tuple):
            return (0.5 * result[0], *result[1:])
        result.loss = 0.5 * result.loss
        return result

    module.forward = halved


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_a_forward_of_the_users_stays(family):
    model, batch = make(family)
    places = first_of_each_kind(model, apply(copy.deepcopy(model), **FUSED))
    for place in places:
        plain, patched = copy.deepcopy(model), copy.deepcopy(model)
        for each in (plain, patched):
            halve(each.get_submodule(place))
        receipt = apply(patched, **FUSED)
        expected = plain(**batch).loss.item()
        assert patched(**batch).loss.item() == pytest.approx(expected, rel=1e-4), place
        assert "replaced by patching.test_foreign" in receipt.missing[place or type(model).__name__], place


def test_a_forward_put_on_a_patched_module_is_in_the_receipt():
    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    halve(model.model.norm)
    (entry,) = [e for e in apply_liger_kernel_to_llama(model=model).entries if e.target == "model.norm"]
    assert entry.kernel is None and "replaced by" in entry.reason


def test_a_forward_of_the_class_that_another_package_replaced_stays(monkeypatch):
    from transformers.models.llama import modeling_llama

    model = tiny.text_model("llama")

    def forward(self, x):
        return 0.5 * self.down_proj(self.up_proj(x))

    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", forward)
    expected = model(**tiny.text_batch()).loss.item()
    receipt = apply_liger_kernel_to_llama(model=model)
    assert model(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)
    assert "forward of its class was replaced" in receipt.missing["model.layers.0.mlp"]
    assert "forward of its class was replaced" in _apply_liger_kernel("llama").missing["llama.LlamaMLP"]


def test_a_forward_that_an_attention_class_is_given_later(monkeypatch):
    from transformers.models.llama import modeling_llama

    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    original = modeling_llama.LlamaAttention.forward

    def forward(self, *args, **kwargs):
        output, weights = original(self, *args, **kwargs)
        return 0 * output, weights

    monkeypatch.setattr(modeling_llama.LlamaAttention, "forward", forward)
    plain = tiny.text_model("llama")
    expected = plain(**tiny.text_batch()).loss.item()
    assert model(**tiny.text_batch()).loss.item() == pytest.approx(expected, rel=1e-5)


# accelerate.


class Counting(ModelHook):
    """A hook that counts calls, on every module."""

    def __init__(self):
        self.calls = 0

    def post_forward(self, module, output):
        self.calls += 1
        return output


def offloaded(model):
    return cpu_offload(model, execution_device=torch.device("cpu"))


def dispatched(model):
    children = {name: "cpu" for name, _ in model.named_children()}
    return dispatch_model(model, device_map=children, main_device="cpu", force_hooks=True)


def counted(model):
    for module in model.modules():
        add_hook_to_module(module, Counting())
    return model


def loss_of(model, batch):
    with torch.no_grad():
        return model(**batch, skip_logits=True).loss.item() if binding_of(model) else model(**batch).loss.item()


def is_settled(model):
    """That no module holds a forward which is not its class's own."""
    for name, module in model.named_modules():
        forward = module.__dict__.get("forward")
        assert forward is None or forward.__func__ is type(module).forward and forward.__self__ is module, name
    return True


@pytest.mark.parametrize("hooked", [offloaded, dispatched, counted])
@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_accelerates_hooks_before_and_after_the_patch(family, hooked):
    model, batch = make(family)
    before, after, unpatched = (copy.deepcopy(model) for _ in range(3))
    expected = pytest.approx(loss_of(model, batch), rel=1e-4)
    try:
        loss_of(hooked(unpatched), batch)
    except (NotImplementedError, RuntimeError) as error:
        pytest.skip(f"transformers' own {type(model).__name__} does not run under these hooks: {error}")
    wanted = apply(model, **FUSED)
    receipts = [apply(hooked(before), **FUSED)]
    apply(after, **FUSED)
    receipts += [apply(hooked(after), **FUSED), apply(before, **FUSED)]
    assert all(receipt.kernels == wanted.kernels and receipt.missing == wanted.missing for receipt in receipts)
    for each in (before, after):
        assert loss_of(each, batch) == expected
        if hooked is counted:
            bound = [module for name, module in each.named_modules() if name in wanted.kernels]
            assert bound and all(module._hf_hook.calls for module in bound)
        remove_hook_from_module(each, recurse=True)
        assert loss_of(each, batch) == expected and is_settled(each)
        assert apply(each, **FUSED).kernels == wanted.kernels
        assert loss_of(each, batch) == expected and is_settled(each)
        assert "forward" not in each.__dict__


@pytest.mark.smoke
@pytest.mark.parametrize("hooked", [offloaded, dispatched, counted])
@pytest.mark.parametrize("family", sorted(SMOKE))
def test_hooks_that_were_removed_leave_nothing(family, hooked):
    model, batch = make(family)
    expected = pytest.approx(loss_of(model, batch), rel=1e-4)
    wanted = apply(copy.deepcopy(model), **FUSED)
    remove_hook_from_module(hooked(model), recurse=True)
    assert apply(model, **FUSED).kernels == wanted.kernels
    assert loss_of(model, batch) == expected and is_settled(model)


def test_the_kernel_runs_inside_the_hook():
    model = offloaded(tiny.text_model("llama"))
    apply_liger_kernel_to_llama(model=model)
    before = launch_counts().get("RMSNormForward", 0)
    loss_of(model, tiny.text_batch())
    assert launch_counts()["RMSNormForward"] - before == 5
    assert all(parameter.is_meta for parameter in model.model.norm.parameters()), "the weights went back"


def test_a_forward_of_the_users_beneath_a_hook_stays():
    plain = tiny.text_model("llama")
    model = copy.deepcopy(plain)
    for each in (plain, model):
        halve(each.model.norm)
        halve(each)
    receipt = apply_liger_kernel_to_llama(model=counted(model))
    assert {"model.norm", "LlamaForCausalLM"} <= set(receipt.missing)
    assert loss_of(model, tiny.text_batch()) == pytest.approx(loss_of(plain, tiny.text_batch()), rel=1e-5)
    assert model.model.norm._hf_hook.calls == 1


# Activations that a gated kernel computes itself.


def count_calls(activation, calls):
    activation.register_forward_hook(lambda *_: calls.append("forward"))


def count_before(activation, calls):
    activation.register_forward_pre_hook(lambda *_: calls.append("forward_pre"))


def count_backward(activation, calls):
    activation.register_full_backward_hook(lambda *_: calls.append("backward"))


def count_before_backward(activation, calls):
    activation.register_full_backward_pre_hook(lambda *_: calls.append("backward_pre"))


def replace_forward(activation, calls):
    inner = activation.forward

    def forward(x):
        calls.append("own")
        return 2 * inner(x)

    activation.forward = forward


def scale_what_leaves(activation, calls):
    activation.register_forward_hook(lambda module, args, output: calls.append("scale") or 3 * output)


HOOKS = [count_calls, count_before, count_backward, count_before_backward, replace_forward, scale_what_leaves]
GATED = ["llama", "gemma", "phi3", "falcon_h1", "mixtral", "glm4v"]


def activations(model):
    found = [
        child
        for module in model.modules()
        if isinstance(binding_of(module) or leaves.Gate, (leaves.GatedLeaf, leaves.ExpertsLeaf))
        for name, child in module.named_children()
        if name in ("act_fn", "activation_fn")
    ]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("family", GATED)
def test_hooks_of_an_activation_run(family, hook, when):
    plain, batch = make(family)
    patched = copy.deepcopy(plain)
    apply(patched, **FUSED)
    names = {name for name, module in patched.named_modules() if module in set(activations(patched))}
    if when == "before":
        patched = copy.deepcopy(plain)
    calls, expected_calls = [], []
    for model, into in ((plain, expected_calls), (patched, calls)):
        for name in sorted(names):
            hook(model.get_submodule(name), into)
    apply(patched, **FUSED)
    losses = []
    for model in (plain, patched):
        output = model(**batch)
        output.loss.backward()
        losses.append(output.loss.item())
    assert names and calls and sorted(calls) == sorted(expected_calls)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize(
    "register",
    [
        torch_module.register_module_forward_hook,
        torch_module.register_module_forward_pre_hook,
        torch_module.register_module_full_backward_hook,
        torch_module.register_module_full_backward_pre_hook,
    ],
)
@pytest.mark.parametrize("family", GATED)
def test_hooks_of_all_modules_see_the_activation(family, register):
    plain, batch = make(family)
    patched = copy.deepcopy(plain)
    apply(patched, **FUSED)
    seen = []
    handle = register(lambda module, *_: seen.append(type(module).__name__))
    try:
        counts = []
        for model in (plain, patched):
            seen.clear()
            model(**batch).loss.backward()
            counts.append(sum("SiLU" in name or "GELU" in name for name in seen))
    finally:
        handle.remove()
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("options", [{}, {"with_kwargs": True}, {"always_call": True}])
def test_a_hook_of_all_modules_that_was_removed_keeps_nothing_off(options):
    register = torch_module.register_module_forward_hook
    module = torch.nn.Module()
    module.act_fn = torch.nn.SiLU()
    handle = register(lambda *_, **__: None, **options)
    while_there = may_fuse(module, SILU)
    handle.remove()
    assert not while_there and may_fuse(module, SILU)


class Swish(torch.nn.Module):
    """SiLU with a slope that is trained."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return x * torch.sigmoid(self.slope * x)


# By the names of the classes that the kernels know.
class SiLU(torch.nn.Module):
    def forward(self, x):
        return torch.relu(x)


@pytest.mark.parametrize("make_activation", [torch.nn.Tanh, Swish, SiLU, lambda: torch.nn.GELU(approximate="none")])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("family", GATED)
def test_another_activation_is_run(family, when, make_activation):
    plain, batch = make(family)
    patched = copy.deepcopy(plain)
    if when == "after":
        apply(patched, **FUSED)
    for model in (plain, patched):
        for module in model.modules():
            for name in ("act_fn", "activation_fn"):
                if isinstance(module._modules.get(name), torch.nn.Module):
                    setattr(module, name, make_activation())
    apply(patched, **FUSED)
    assert patched(**batch).loss.item() == pytest.approx(plain(**batch).loss.item(), rel=1e-4)


# Upstream's helpers, which other packages call.


def test_helpers_bind_modules_of_any_class():
    class Norm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.eps = torch.nn.Parameter(torch.rand(8)), 0.0

        def forward(self, x):
            raise AssertionError("not the kernel's")

    norm, x = Norm(), torch.randn(3, 8)
    leaves._patch_rms_norm_module(norm, offset=1.0, casting_mode="gemma")
    wanted = x * torch.rsqrt(x.square().mean(-1, keepdim=True)) * (1 + norm.weight)
    assert torch.allclose(norm(x), wanted) and norm.variance_epsilon == 0.0
    assert isinstance(norm, Norm) and isinstance(norm, LigerRMSNorm) and type(norm).__name__ == "Norm"
    assert type(norm).__qualname__ == Norm.__qualname__ and torch.equal(copy.deepcopy(norm)(x), norm(x))
    again = LigerRMSNorm(8)
    leaves._patch_rms_norm_module(again, eps=0.0)
    assert again.variance_epsilon == 1e-6 and torch.equal(again.double()(x.double()), again(x.double()))


def test_helpers_leave_a_forward_of_the_users(caplog):
    norm = LigerRMSNorm(8)
    halve(norm)
    leaves._patch_rms_norm_module(norm)
    assert "its forward was replaced by" in caplog.text and binding_of(norm) is None


def test_a_method_that_another_package_binds():
    mlp, x = copy.deepcopy(tiny.text_model("llama").model.layers[0].mlp), torch.randn(2, 32)
    expected = mlp(x)
    leaves._bind_method_to_module(mlp, "forward", leaves.kernel("LigerSwiGLUMLP").forward)
    assert torch.allclose(mlp(x), expected, atol=1e-6)
    mlp.act_fn.register_forward_hook(lambda module, args, output: 2 * output)
    assert torch.allclose(mlp(x), 2 * expected, atol=1e-6)
    assert torch.equal(mlp.double()(x.double()), type(mlp).forward(mlp, x.double()))
