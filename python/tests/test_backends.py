"""Implementations by name: which one runs, how others are registered, and what says when another one runs."""

import inspect
import sys
import threading

import pytest
import torch

from conftest import check_close
from processes import forked

from liger_kernel import functional
from liger_kernel.backends import Capability
from liger_kernel.backends import ImplNotAvailableError
from liger_kernel.backends import LigerImplFallbackWarning
from liger_kernel.backends import NoImplAvailableError
from liger_kernel.backends import all_impls
from liger_kernel.backends import available_impls
from liger_kernel.backends import check_impl
from liger_kernel.backends import dispatch
from liger_kernel.backends import get_impl
from liger_kernel.backends import register_impl
from liger_kernel.backends import registry
from liger_kernel.backends import resolve_impl
from liger_kernel.backends import set_impl
from liger_kernel.transformers import LigerLayerNorm
from liger_kernel.transformers.rope import liger_rotary_pos_emb


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """The registry, the choice and the environment as they were."""
    for name in ("LIGER_KERNEL_IMPL", "LIGER_KERNEL_BACKEND", "LIGER_KERNEL_STRICT"):
        monkeypatch.delenv(name, raising=False)
    saved = dict(registry._REGISTRY)
    yield
    set_impl(None)
    registry._REGISTRY.clear()
    registry._REGISTRY.update(saved)
    registry._version += 1


def add(operation, name, **options):
    register_impl(operation, impl_name=name, **options)(lambda *arguments, **keywords: name)


def test_order_of_choice(monkeypatch):
    add("op", "rank", preference_rank=1)
    for name in ("global", "environment", "operation", "argument"):
        add("op", name)
    assert resolve_impl("op").impl_name == "rank"
    set_impl("global")
    assert resolve_impl("op").impl_name == get_impl() == "global"
    monkeypatch.setenv("LIGER_KERNEL_BACKEND", "environment")
    assert resolve_impl("op").impl_name == get_impl() == "environment"
    monkeypatch.setenv("LIGER_KERNEL_IMPL_OP", "operation")
    assert resolve_impl("op").impl_name == "operation"
    assert dispatch("op", 1, impl="argument") == dispatch("op", 1, backend="argument") == "argument"


def test_names_that_nothing_has(monkeypatch):
    with pytest.raises(ImplNotAvailableError, match="set_impl.*'other'.*swift"):
        set_impl("other")
    with pytest.raises(ImplNotAvailableError, match="rms_norm.*'other'. Registered: swift"):
        functional.rms_norm(torch.ones(2, 8), torch.ones(8), impl="other")
    with pytest.raises(ImplNotAvailableError, match="LigerLayerNorm.*'other'"):
        LigerLayerNorm(8, impl="other")
    with pytest.raises(NoImplAvailableError, match="op.*none is registered"):
        resolve_impl("op")
    monkeypatch.setenv("LIGER_KERNEL_IMPL_RMS_NORM", "other")
    with pytest.raises(ImplNotAvailableError, match="rms_norm.*'other'"):
        functional.rms_norm(torch.ones(2, 8), torch.ones(8))
    add("op", "unsuited", capability=Capability(modules=["a_module_of_nobody"]))
    with pytest.raises(ImplNotAvailableError, match="unsuited.*a_module_of_nobody"):
        resolve_impl("op", "unsuited")
    with pytest.raises(NoImplAvailableError, match="unsuited.*a_module_of_nobody"):
        resolve_impl("op")
    assert all_impls("op") == ["unsuited"] and available_impls("op") == []


@pytest.mark.parametrize("name, code", [("nonsense", 1), ("swift", 0), ("triton", 0), ("nvidia-cutedsl", 0)])
def test_environment_at_import(name, code):
    """A name that nothing has fails when operations are imported."""
    said = forked("import liger_kernel.ops", expected=code, LIGER_KERNEL_IMPL=name)
    assert code == 0 or f"LIGER_KERNEL_IMPL: no implementation is called '{name}'" in said


def test_upstreams_names(monkeypatch):
    """Ours stands in for upstream's usual implementation; for its others it says so, once, or refuses."""
    from liger_kernel.backends import dispatch as _  # noqa: F401

    notified = sys.modules["liger_kernel.backends.dispatch"]._FALLBACK_NOTIFIED
    notified.clear()
    x, w = torch.ones(2, 8), torch.ones(8)
    functional.rms_norm(x, w, impl="nvidia-triton")
    with pytest.warns(LigerImplFallbackWarning, match="rms_norm.*'cutile'.*'swift'") as caught:
        functional.rms_norm(x, w, impl="cutile")
        functional.rms_norm(x, w, impl="cutile")
    assert len(caught) == 1
    monkeypatch.setenv("LIGER_KERNEL_STRICT", "1")
    functional.rms_norm(x, w, impl="triton")
    with pytest.raises(ImplNotAvailableError, match="LIGER_KERNEL_STRICT"):
        functional.rms_norm(x, w, impl="cutile")


def test_an_implementation_of_ones_own():
    """It runs where it is preferred or named, with mode and options as they were given."""
    calls = []

    @register_impl("layer_norm", impl_name="mine", preference_rank=1)
    def mine(x, weight, bias, eps, mode=None):
        calls.append((eps, mode))
        return x * 2

    x = torch.ones(2, 8)
    assert available_impls("layer_norm") == ["mine", "swift"]
    assert torch.equal(functional.layer_norm(x, torch.ones(8), None, 1e-3, mode="fast"), x * 2)
    module = LigerLayerNorm(8, impl="mine")
    assert torch.equal(module(x), x * 2) and module.backend == "mine"
    assert calls == [(1e-3, "fast"), (1e-6, None)]
    assert not torch.equal(LigerLayerNorm(8, impl="swift")(x), x * 2)
    assert "layer_norm" in registry.all_registered_ops()


def test_a_request_can_be_checked_before_a_call():
    assert check_impl("softmax") is None
    assert check_impl("softmax", "nvidia-triton", "default") == check_impl("softmax", "swift") == "swift"
    with pytest.raises(ImplNotAvailableError, match="softmax: no implementation is called 'nobody'"):
        check_impl("softmax", "nobody")
    for ask in (lambda: check_impl("softmax", "swift", "fast"), lambda: functional.softmax(torch.ones(2), mode="fast")):
        with pytest.raises(ValueError, match="softmax: there is no mode 'fast'; leave it out or give one of 'default'"):
            ask()


def test_devices():
    """Availability follows the tensors' device."""
    assert available_impls("softmax", "cpu") == available_impls("softmax", torch.device("cuda", 0)) == ["swift"]
    assert available_impls("softmax", "xpu") == []
    with pytest.raises(NoImplAvailableError, match="CPU and CUDA"):
        functional.softmax(torch.empty(2, 3, device="meta"))


def test_declared_modules_are_imported_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "registers_op.py").write_text(
        "from liger_kernel.backends import register_impl\nCOUNT = []\n"
        "register_impl('declared', impl_name='late')(lambda: COUNT.append(1))\n"
    )
    (tmp_path / "registers_nothing.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    registry.declare_op_locations("declared", ("registers_op", "a_module_of_nobody"))
    found = []
    threads = [threading.Thread(target=lambda: found.append(all_impls("declared"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["late"]] * 4
    assert registry.get_discovery_failures()["a_module_of_nobody"][0] is ModuleNotFoundError
    registry.declare_op_locations("silent", ("registers_nothing",))
    assert all_impls("silent") == [] and "no @register_op ran" in caplog.text


# What callers of `dispatch` may give the implementations by name, in addition to what the functions take.
FURTHER = {"rope": ("rotary_dim",)}


@pytest.mark.parametrize("name", functional.__all__)
def test_options_of_implementations(name):
    taken = inspect.signature(resolve_impl(name).forward).parameters
    ours = set(inspect.signature(getattr(functional, name)).parameters) - {"impl", "mode", "backend"}
    assert ours | set(FURTHER.get(name, ())) <= set(taken)


@pytest.mark.parametrize("rotary_dim", [4, 8])
def test_dispatched_rope_of_a_part_of_each_head(rotary_dim):
    q, k, tables = torch.randn(2, 3, 5, 8), torch.randn(2, 1, 5, 8), torch.randn(2, 2, 5, rotary_dim // 2)
    given = [t.clone().requires_grad_() for t in (q, k)]
    found = dispatch("rope", *given, *tables, None, 1, impl="nvidia-triton", rotary_dim=rotary_dim)
    expected = liger_rotary_pos_emb(q, k, *tables.repeat(1, 1, 1, 2), rotary_dim=rotary_dim)
    assert all(map(torch.equal, found, expected))
    torch.autograd.backward(found, expected)
    # A rotation's inverse is its transpose, for angles of length 1; here tables scale the rotated part in addition.
    size = tables.square().sum(0).repeat(1, 1, 2).unsqueeze(1)
    size = torch.cat((size, torch.ones(2, 1, 5, 8 - rotary_dim)), -1)
    for x, t in zip(given, (q, k)):
        check_close(x.grad, (t * size).double(), torch.float32)


def test_assert_op_correctness():
    """It passes ours and finds an error of values, of gradients, and a NaN."""
    from liger_kernel.testing import assert_op_correctness
    from liger_kernel.testing import pytorch_reference_rms_norm

    for casting in ("llama", "gemma"):
        assert_op_correctness("rms_norm", "swift", (5, 33), torch.float32, casting_mode=casting, device="cpu")
    assert_op_correctness("layer_norm", "swift", (5, 33), torch.bfloat16, device="cpu", extra={"include_bias": False})

    def spoilt(change):
        def rms_norm(x, weight, eps, offset, casting_mode, in_place, row_mode):
            return change(pytorch_reference_rms_norm(x, weight, eps, offset, casting_mode))

        register_impl("rms_norm", impl_name="spoilt")(rms_norm)
        assert_op_correctness("rms_norm", "spoilt", (5, 33), torch.float32, device="cpu")

    spoilt(lambda y: y)
    for change, what in [
        (lambda y: y * 1.001, "forward"),
        (lambda y: y + (y * 0.01 - (y * 0.01).detach()), "dx"),
        (lambda y: torch.where(torch.arange(33) == 3, torch.nan, y), "forward"),
    ]:
        with pytest.raises(AssertionError, match=what):
            spoilt(change)
    with pytest.raises(KeyError, match="no reference for 'softmax'"):
        assert_op_correctness("softmax", "swift", (5, 33), torch.float32)
