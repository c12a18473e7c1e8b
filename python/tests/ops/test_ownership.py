"""Gated units whose backward pass writes over gate and up: where it does, and where somebody would see it."""

import threading
import types

import pytest
import torch

from conftest import random
from torch.autograd.graph import save_on_cpu
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from liger_kernel.ops import LigerGELUMulFunction
from liger_kernel.ops import LigerSiLUMulFunction
from liger_kernel.ops import _ownership
from liger_kernel.transformers.geglu import LigerGEGLUMLP
from liger_kernel.transformers.swiglu import LigerSwiGLUMLP

FUNCTIONS = [LigerSiLUMulFunction, LigerGELUMulFunction]
WAYS = {
    "plain": lambda f, *inputs: f(*inputs),
    "checkpoint": lambda f, *inputs: checkpoint(f, *inputs, use_reentrant=False),
    "reentrant": lambda f, *inputs: checkpoint(f, *inputs, use_reentrant=True),
}

# Otherwise gradients are copies, as of torch before 2.7.
COUNTS = pytest.mark.skipif(not _ownership._can_count(), reason="this torch does not let gradients be counted")


@pytest.fixture(params=FUNCTIONS)
def function(request):
    return request.param


@pytest.fixture(params=WAYS)
def run(request):
    return WAYS[request.param]


@pytest.fixture
def never(monkeypatch):
    """A switch that makes every backward pass take new memory."""
    return lambda: monkeypatch.setattr(_ownership, "_counts_alone", dict)


def watch(tensor, seen, name):
    """Notes a tensor's address in the last forward pass, and its gradient's. Keeps no tensor."""
    seen[name] = tensor.data_ptr()
    if tensor.requires_grad:
        tensor.register_hook(lambda g: seen.__setitem__(f"gradient of {name}", g.data_ptr()))


def is_over(seen, *names):
    return [seen[name] == seen[f"gradient of {name}"] for name in names]


@COUNTS
@pytest.mark.parametrize("module", [LigerSwiGLUMLP, LigerGEGLUMLP])
def test_modules_write_over_what_nobody_else_sees(device, dtype, module, run, never):
    mlp = module(types.SimpleNamespace(hidden_size=16, intermediate_size=24, hidden_act="silu"))
    mlp, seen = mlp.to(device=device, dtype=dtype), {}
    for name in ("gate_proj", "up_proj"):
        getattr(mlp, name).register_forward_hook(lambda m, inputs, output, name=name: watch(output, seen, name))
    x, upstream = random(2, 5, 16, device=device, dtype=dtype), random(2, 5, 16, device=device, dtype=dtype, grad=False)

    def step():
        mlp.zero_grad()
        x.grad = None
        run(mlp, x).backward(upstream)
        return [x.grad, *(p.grad for p in mlp.parameters())]

    over = step()
    assert is_over(seen, "gate_proj", "up_proj") == [True, True]
    never()
    assert all(torch.equal(a, b) for a, b in zip(over, step(), strict=True))
    assert not any(is_over(seen, "gate_proj", "up_proj"))


def shared_by_user(a, b, kept):
    kept.append(a)
    return a, b


def shared_up(a, b, kept):
    kept.append(b)
    return a, b


def shared_by_another_node(a, b, kept):
    kept.append(a * a)
    return a, b


def shared_detached(a, b, kept):
    kept.append(b.detach())
    return a, b


def shared_view(a, b, kept):
    kept.append(a[1:])
    return a, b


def saved_by_its_own_node(a, b, kept):
    return a.exp(), b


def same_twice(a, b, kept):
    return a, a


def halves(a, b, kept):
    return torch.cat([a, b]).chunk(2)


def halves_in_columns(a, b, kept):
    return torch.cat([a, b], -1).chunk(2, -1)


def expanded(a, b, kept):
    return a, b[:1].mul(1).expand(4, 9)


SHARED = [
    shared_by_user, shared_up, shared_by_another_node, shared_detached, shared_view, saved_by_its_own_node, same_twice,
    halves, halves_in_columns, expanded,
]  # fmt: skip


def gradients(function, arrange, run, leaves, upstream, kept, **options):
    seen, copies = {}, []

    def unit(x, y):
        a, b = arrange(x * 2, y * 3, kept)
        copies.extend(t.detach().clone() for t in kept[len(copies) :])
        watch(a, seen, "a")
        if b is not a:
            watch(b, seen, "b")
        return function.apply(a, b)

    for leaf in leaves:
        leaf.grad = None
    run(unit, *leaves).backward(upstream, **options)
    assert all(torch.equal(t, copy) for t, copy in zip(kept, copies, strict=True)), "what somebody else sees changed"
    return [leaf.grad for leaf in leaves], is_over(seen, *("ab" if "b" in seen else "a"))


@pytest.mark.parametrize("arrange", SHARED)
def test_what_somebody_else_sees_stays(device, function, run, arrange, never):
    leaves, upstream = [random(4, 9, device=device) for _ in range(2)], random(4, 9, device=device, grad=False)
    found, over = gradients(function, arrange, run, leaves, upstream, [])
    assert not any(over)
    never()
    expected, _ = gradients(function, arrange, run, leaves, upstream, [])
    assert all((a is None and b is None) or torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_another_node_finds_what_it_saved(device, function, run, never):
    """The gated unit is made last, so its backward pass comes first."""

    def both(x):
        a = x * 2
        return a * a, function.apply(a, x * 3)

    x = random(4, 9, device=device)
    sum(y.sum() for y in run(both, x)).backward()
    found, x.grad = x.grad, None
    never()
    sum(y.sum() for y in run(both, x)).backward()
    assert torch.equal(found, x.grad)


def alone(a, b, kept):
    return a, b


@COUNTS
@pytest.mark.parametrize("way", ["plain", "checkpoint"])
@pytest.mark.parametrize("options", [{"retain_graph": True}, {"create_graph": True}])
@pytest.mark.filterwarnings("ignore:Using backward")
def test_a_graph_that_is_kept_keeps_its_tensors(device, function, way, options):
    leaves, upstream = [random(4, 9, device=device) for _ in range(2)], random(4, 9, device=device, grad=False)
    found, over = gradients(function, alone, WAYS[way], leaves, upstream, [], **options)
    found = [gradient.detach() for gradient in found]
    assert not any(over)
    # And only because of that.
    again, over = gradients(function, alone, WAYS[way], leaves, upstream, [])
    assert all(over) and all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_a_second_pass_after_one_that_kept_the_graph(device, function):
    x = random(4, 9, device=device)
    out = function.apply(x * 2, x * 3)
    first = torch.autograd.grad(out.sum(), x, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(out.sum(), x)[0], first)


@pytest.mark.parametrize("hooks", [lambda: saved_tensors_hooks(lambda t: t, lambda t: t), save_on_cpu])
def test_hooks_that_keep_what_they_took(function, hooks, never):
    def hooked(f, *inputs):
        with hooks():
            return f(*inputs)

    leaves, upstream = [random(4, 9) for _ in range(2)], random(4, 9, grad=False)
    found, over = gradients(function, alone, hooked, leaves, upstream, [])
    assert not any(over)
    never()
    expected, _ = gradients(function, alone, hooked, leaves, upstream, [])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_memory_of_others_stays(function):
    """Hooks that keep what they took in arrays, one for each tensor, and hand out tensors over them."""
    kept = {}

    def pack(t):
        key = t.data_ptr()
        kept.setdefault(key, t.detach().numpy().copy())
        return key

    leaves, upstream = [random(4, 9) for _ in range(2)], random(4, 9, grad=False)
    with saved_tensors_hooks(pack, lambda key: torch.from_numpy(kept[key])):
        a, b = leaves[0] * 2, leaves[1] * 3
        y = function.apply(a, b)
    before = {key: array.copy() for key, array in kept.items()}
    y.backward(upstream)
    assert all((kept[key] == array).all() for key, array in before.items())


def test_a_tracer_does_not_count():
    """One that looks at a frame's variables, as debuggers do, while the counts are found."""
    expected = _ownership._counts_alone.__wrapped__()

    def trace(frame, event, argument):
        frame.f_locals
        return trace

    threading.settrace(trace)
    try:
        found = _ownership._counts_alone.__wrapped__()
    finally:
        threading.settrace(None)
    assert found == expected and found


def test_leaves_and_subclasses_stay(device, function):
    class Named(torch.Tensor):
        pass

    for kind in (torch.Tensor, Named):
        a, b = (random(4, 9, device=device, grad=False).as_subclass(kind).requires_grad_() for _ in range(2))
        copies = a.detach().clone(), b.detach().clone()
        function.apply(a, b).sum().backward()
        assert torch.equal(a, copies[0]) and torch.equal(b, copies[1])
    seen, x = {}, random(4, 9, device=device, grad=False).as_subclass(Named).requires_grad_()
    a, b = x * 2, x * 3
    watch(a, seen, "a")
    out = function.apply(a, b)
    del a, b
    out.sum().backward()
    assert is_over(seen, "a") == [False]


def test_a_frozen_input_of_ones_own(device, function):
    """Up needs no gradient and is a variable of the caller's."""
    x, up = random(4, 9, device=device), random(4, 9, device=device, grad=False)
    copy = up.clone()
    function.apply(x * 2, up).sum().backward()
    assert torch.equal(up, copy)


def test_no_rows(device, function):
    x = random(0, 9, device=device)
    function.apply(x * 2, x * 3).backward(torch.ones_like(x))
    # A sum's gradient is one number with strides of 0.
    function.apply(x * 2, x * 3).sum().backward()
    assert x.grad.shape == (0, 9)


@COUNTS
def test_an_upstream_gradient_of_any_strides(device, function):
    leaves, upstream = [random(4, 9, device=device) for _ in range(2)], random(9, 4, device=device, grad=False).t()
    for strides in (upstream, upstream[:, :1].expand(4, 9)):
        found, over = gradients(function, alone, WAYS["plain"], leaves, strides, [])
        assert all(over)
        plain = gradients(function, alone, WAYS["plain"], leaves, strides, [], retain_graph=True)[0]
        assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))


@pytest.mark.parametrize("broken", ["counts that do not tell", "no counts", "no lock"])
def test_without_counts_to_go_by_nothing_is_written_over(monkeypatch, function, broken):
    if broken == "counts that do not tell":
        monkeypatch.setattr(_ownership.sys, "getrefcount", lambda tensor: 0)
        monkeypatch.setattr(_ownership, "_storage_uses", lambda storage: 0)
    elif broken == "no counts":
        monkeypatch.setattr(_ownership, "_torch_counts", False)
    else:
        monkeypatch.setattr(_ownership.sys, "_is_gil_enabled", lambda: False, raising=False)
    for cached in (_ownership._counts_alone, _ownership._can_count):
        monkeypatch.setattr(_ownership, cached.__name__, cached.__wrapped__)
    leaves, upstream = [random(4, 9) for _ in range(2)], random(4, 9, grad=False)
    for way in ("plain", "checkpoint"):
        assert not any(gradients(function, alone, WAYS[way], leaves, upstream, [])[1])


def test_the_counts_are_found_within_any_mode():
    """The probe runs on its own, whatever the caller has switched on."""
    find = _ownership._counts_alone.__wrapped__
    expected = find()
    assert set(expected) == {False, True}
    with torch.no_grad(), save_on_cpu(), torch.device("meta"):
        assert find() == expected
