"""What patching leaves as it was: other models of the family, what classes are to others, tensors no kernel takes."""

import copy
import gc
import sys
import weakref

import pytest
import torch
import transformers

from liger_kernel.transformers import LigerRMSNorm
from liger_kernel.transformers import leaves
from liger_kernel.transformers.binding import binding_of
from liger_kernel.transformers.binding import original_class
from liger_kernel.transformers.experts import LigerExperts
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.conftest import results
from patching.every import EVERY_KERNEL
from patching.every import FAMILIES
from patching.every import FUSED
from patching.every import apply
from patching.every import apply_to_classes
from patching.every import make

LOGITS = dict(cross_entropy=False, fused_linear_cross_entropy=False)


def in_double(model, batch):
    """The same in float64, or skipped where the unpatched model of this release does not run in it."""
    model.config._experts_implementation = "eager"
    tiny.in_type(model, torch.float64)
    batch = {k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in batch.items()}
    try:
        return batch, results(model, batch)
    except RuntimeError as error:
        pytest.skip(f"this release's {type(model).__name__} does not run in float64: {error}")


def equal(found, wanted):
    gradients = found[2].keys() == wanted[2].keys() and all(torch.equal(g, wanted[2][n]) for n, g in found[2].items())
    return gradients and torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def names_of_modeling_files():
    return {
        (home, name): value
        for home, module in list(sys.modules.items())
        if home.startswith("transformers.") and (".modeling_" in home or home.endswith(".loss_utils"))
        for name, value in vars(module).items()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_a_neighbour_of_a_patched_model(family, dtype):
    neighbour, batch = make(family)
    if dtype == torch.float64:
        batch, expected = in_double(neighbour, batch)
    else:
        expected = results(neighbour, batch)
    before, activation = names_of_modeling_files(), type(transformers.activations.ACT2FN["relu2"])
    apply(make(family)[0], **FUSED)
    if family == "granite":
        apply(make(family)[0], cross_entropy=True, fused_linear_cross_entropy=False)
    assert equal(results(neighbour, batch), expected)
    after = names_of_modeling_files()
    assert {key for key, value in before.items() if after[key] is not value} == set()
    assert type(transformers.activations.ACT2FN["relu2"]) is activation
    assert equal(results(copy.deepcopy(neighbour), batch), expected)


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_a_neighbour_of_patched_classes_in_float64(family):
    """A model that was there before, and one made of the patched classes: no kernel takes what they compute with."""
    neighbour, batch = make(family)
    batch, expected = in_double(neighbour, batch)
    receipt = apply_to_classes(neighbour, **LOGITS)
    assert equal(results(neighbour, batch), expected)
    made = make(family)[0]
    assert any(binding_of(module) for module in made.modules()) == any(e.kernel for e in receipt.entries)
    assert equal(in_double(made, batch)[1], expected)


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_a_patched_model_in_float64(family):
    model, batch = make(family)
    patched = copy.deepcopy(model)
    apply(patched, **LOGITS)
    batch, expected = in_double(model, batch)
    assert equal(in_double(patched, batch)[1], expected)


# What classes are to others.


def decayed(model):
    trainer = transformers.Trainer.__new__(transformers.Trainer)
    return set(trainer.get_decay_parameter_names(model))


@pytest.mark.parametrize("family", FAMILIES)
def test_patched_classes_are_initialised_and_decayed_as_before(family):
    def made():
        config = make(family)[0].config
        torch.manual_seed(7)
        return type(plain)(config)

    plain, _ = make(family)
    before = made()
    old = {name: type(module) for name, module in before.named_modules()}
    apply_to_classes(plain, **FUSED)
    after = made()
    assert decayed(after) == decayed(before)
    assert after.state_dict().keys() == before.state_dict().keys()
    for name, tensor in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], tensor), f"{name} starts with other numbers"
    for name, module in after.named_modules():
        assert isinstance(module, old[name]), f"{name} is no {old[name].__name__}"
        assert type(module).__name__ == old[name].__name__ and type(module).__module__ == old[name].__module__
        # A name of a modeling file that was replaced still means what was made before.
        assert isinstance(before.get_submodule(name), type(module)), name
    for name, kernel in (("norm", "LigerRMSNorm"), ("mlp", "LigerSwiGLUMLP")):
        bound = [m for n, m in after.named_modules() if n.endswith(f"layers.1.{name}") and binding_of(m)]
        assert all(isinstance(module, leaves.kernel(kernel)) for module in bound) or "MLP" in kernel


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_a_patched_model_is_initialised_and_decayed_as_before(family):
    model, _ = make(family)
    plain = copy.deepcopy(model)
    apply(model, **FUSED)
    assert decayed(model) == decayed(plain)
    for each in (plain, model):
        torch.manual_seed(7)
        for flagged in (*each.modules(), *each.parameters(), *each.buffers()):
            flagged._is_hf_initialized = False
        each.initialize_weights()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), plain.state_dict().values()))
    for name, module in model.named_modules():
        assert isinstance(module, type(plain.get_submodule(name))), name
        assert type(module).__qualname__ == type(plain.get_submodule(name)).__qualname__


@pytest.mark.parametrize("family", FAMILIES)
def test_an_epsilon_of_zero(family):
    def norms(model):
        return [m for m in model.modules() if isinstance(binding_of(m), (leaves.RMSNormLeaf, leaves.LayerNormLeaf))]

    model, _ = make(family)
    apply(copied := copy.deepcopy(model), **FUSED)
    expected = [module.variance_epsilon for module in norms(copied)]
    assert all(epsilon > 0 for epsilon in expected)
    for module in model.modules():
        for name in ("eps", "variance_epsilon"):
            if isinstance(module.__dict__.get(name), float):
                setattr(module, name, 0.0)
    apply(model, **FUSED)
    assert [module.variance_epsilon for module in norms(model)] == [0.0] * len(expected)


@pytest.mark.smoke
def test_values_with_an_epsilon_of_zero():
    for patched_classes in (False, True):
        plain = tiny.text_model("llama", rms_norm_eps=0.0)
        model = copy.deepcopy(plain)
        if patched_classes:
            _apply_liger_kernel("llama")
            model = tiny.text_model("llama", rms_norm_eps=0.0)
        for each in (plain, model):
            with torch.no_grad():
                each.model.embed_tokens.weight.mul_(1e-4)
        _apply_liger_kernel_to_instance(model)
        found, wanted = results(model, tiny.text_batch()), results(plain, tiny.text_batch())
        assert found[0].item() == pytest.approx(wanted[0].item(), rel=1e-5)
        assert torch.allclose(found[1], wanted[1], rtol=1e-3, atol=1e-4)


def test_a_layer_norm_that_the_kernel_does_not_cover_stays_torchs():
    from transformers.models.siglip import modeling_siglip

    apply_to_classes(make("gemma3")[0], **FUSED)
    made = modeling_siglip.nn.LayerNorm
    for arguments in (dict(elementwise_affine=False), dict(bias=False)):
        assert type(made(8, **arguments)) is torch.nn.LayerNorm and isinstance(made(8, **arguments), made)
    assert type(made((2, 8))) is torch.nn.LayerNorm and torch.nn.LayerNorm is not made
    assert binding_of(made(8, eps=0.0, dtype=torch.bfloat16)) and made(8, eps=0.0).variance_epsilon == 0.0


def test_a_class_made_for_another_activation_warns_and_is_itself(caplog):
    from transformers.models.llama import modeling_llama

    _apply_liger_kernel("llama")
    model = tiny.text_model("llama", hidden_act="gelu")
    mlp = model.model.layers[0].mlp
    assert binding_of(mlp) is None and type(mlp) is original_class(modeling_llama.LlamaMLP)
    assert "LlamaMLP does not run LigerSwiGLUMLP: its activation is GELUActivation" in caplog.text


@pytest.mark.smoke
def test_a_deleted_model_is_gone_at_once():
    model = tiny.text_model("llama")
    apply_liger_kernel_to_llama(model=model)
    norm = weakref.ref(model.model.norm)
    gc.disable()
    try:
        del model
        assert norm() is None
    finally:
        gc.enable()


# Tensors that no kernel takes.


class Pair(torch.Tensor):
    """A tensor whose numbers are the sum of two others': it has no memory of its own."""

    @staticmethod
    def __new__(cls, one, other):
        return torch.Tensor._make_wrapper_subclass(cls, one.shape, dtype=one.dtype, device=one.device)

    def __init__(self, one, other):
        self.one, self.other = one, other

    def __repr__(self):
        return "Pair"

    @classmethod
    def __torch_dispatch__(cls, function, types, args, kwargs=None):
        def whole(x):
            return x.one + x.other if isinstance(x, cls) else x

        args, kwargs = torch.utils._pytree.tree_map(whole, (args, kwargs or {}))
        return function(*args, **kwargs)


def experts_input(x):
    tokens = x.shape[0]
    return x, torch.arange(2 * tokens).reshape(tokens, 2) % 4, torch.full((tokens, 2), 0.5)


@pytest.fixture(scope="module")
def leaves_of_models():
    """A patched module of each kind and its twin, with what makes its arguments of rows."""
    found = []
    for family, names in (
        ("llama", ["model.norm", "model.layers.0.mlp"]),
        ("gemma", ["model.norm", "model.layers.0.mlp"]),
        ("phi3", ["model.layers.0.mlp"]),
        ("falcon_h1", ["model.layers.0.feed_forward"]),
        ("mixtral", ["model.layers.0.mlp.experts"]),
        ("nemotron", ["model.layers.0.mlp.act_fn"]),
        ("gemma3", ["model.vision_tower.post_layernorm"]),
    ):
        model, _ = make(family)
        patched = copy.deepcopy(model)
        apply(patched, **FUSED)
        for name in names:
            arguments = experts_input if "experts" in name else lambda x: (x,)
            if name in dict(model.named_modules()):
                found.append((model.get_submodule(name), patched.get_submodule(name), arguments))
    return found


def test_a_tensor_without_memory(leaves_of_models):
    for plain, patched, arguments in leaves_of_models:
        assert binding_of(patched), type(plain).__name__
        x = Pair(torch.randn(6, 32), torch.randn(6, 32))
        assert torch.allclose(patched(*arguments(x)), plain(*arguments(x)), atol=1e-6), type(plain).__name__


def test_tensors_on_a_device_without_kernels(leaves_of_models):
    for plain, patched, arguments in leaves_of_models:
        moved = copy.deepcopy(patched).to("meta")
        if not isinstance(patched, LigerExperts):
            assert moved(*arguments(torch.randn(6, 32, device="meta"))).shape == (6, 32)


def test_weights_without_memory():
    norm = copy.deepcopy(tiny.text_model("llama").model.norm)
    plain = copy.deepcopy(norm)
    leaves._patch_rms_norm_module(norm)
    x, weight = torch.randn(6, 32), torch.randn(32)
    for each in (norm, plain):
        del each.weight
        each.weight = Pair(weight, weight)
    assert torch.equal(norm(x), plain(x))
    experts = copy.deepcopy(make("mixtral")[0].model.layers[0].mlp)
    if hasattr(getattr(experts, "experts", None), "gate_up_proj"):
        experts = experts.experts
        del experts.down_proj
        experts.down_proj = Pair(torch.zeros(4, 32, 40), torch.zeros(4, 32, 40))
        assert "Pair" in leaves.ExpertsLeaf(LigerExperts).refusal(experts)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float8_e4m3fn])
def test_modules_of_the_package_in_other_types(dtype):
    """Ours that stand in for no other class: the formula by torch's operations."""
    if dtype == torch.float8_e4m3fn:
        x, norm = torch.randn(3, 8).to(dtype), LigerRMSNorm(8, casting_mode="gemma")
        wide = x.float()
        wanted = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)).to(dtype)
        assert torch.equal(norm(x).float(), wanted.float())
        return
    x = torch.randn(3, 32, dtype=dtype)
    for casting in ("llama", "gemma", "none"):
        norm = LigerRMSNorm(32, eps=1e-3, offset=0.5, casting_mode=casting).double()
        wanted = x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * (norm.weight + 0.5)
        assert torch.allclose(norm(x), wanted, rtol=1e-12)
    layer = leaves.kernel("LigerLayerNorm")(32).double()
    assert torch.allclose(layer(x), torch.nn.functional.layer_norm(x, (32,), eps=1e-6), rtol=1e-12)
    for name in ("llama", "phi3", "falcon_h1", "gemma"):
        config, plain = tiny.text_config(name), tiny.text_model(name)
        mlp = plain.model.layers[0].feed_forward if name == "falcon_h1" else plain.model.layers[0].mlp
        apply(plain, **LOGITS)
        made = binding_of(mlp).kernel(config)
        made.load_state_dict(mlp.state_dict())
        wanted = original_class(type(mlp)).forward(mlp.double(), x)
        assert torch.allclose(made.double()(x), wanted, rtol=1e-12), name
    assert torch.equal(leaves.kernel("LigerReLUSquared")()(x), torch.relu(x) ** 2)


def test_experts_of_the_package_in_float64():
    config = tiny.text_config("mixtral")
    experts = LigerExperts(config)
    with torch.no_grad():
        for weight in experts.parameters():
            weight.normal_(0, 0.2)
    arguments = experts_input(torch.randn(6, 32))
    wide = [t.double() if t.is_floating_point() else t for t in arguments]
    assert torch.allclose(copy.deepcopy(experts).double()(*wide).float(), experts(*arguments), atol=1e-5)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_fused_loss_in_float64(family, classes):
    """The kernel does not take such hidden states: logits are made, and the loss is theirs, rounded to fp32."""
    model, batch = make(family)
    batch, expected = in_double(model, batch)
    apply_to_classes(model, **FUSED) if classes else apply(model, **FUSED)
    found = results(model, batch)
    assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-6)
    for name, gradient in expected[2].items():
        assert torch.allclose(found[2][name], gradient, rtol=1e-4, atol=1e-6), name
