"""The short way from a Python call to the library: what its keys, runners and Functions rely on."""

import itertools
import threading

import pytest
import torch

from conftest import check_close
from conftest import random
from torch.autograd import forward_ad

from liger_kernel import _call
from liger_kernel import _library
from liger_kernel.ops import rms_norm as module
from liger_kernel.ops._primitive import Function
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.functional import liger_layer_norm
from liger_kernel.transformers.functional import liger_rms_norm
from liger_kernel.transformers.functional import liger_swiglu


def norm(x, w, eps=1e-6, offset=0.0):
    x, w = x.double(), 1 if w is None else w.double() + offset
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


def test_calls_of_any_kind_in_turn(device):
    """Shapes, types, layouts, options and absent weights that differ in one thing each, warm and in any order."""
    x = random(4, 6, 8, device=device, grad=False)
    w = random(16, device=device, grad=False)
    cases = [
        (x, w[:8], 1e-6, 0.0), (x[:3], w[:8], 1e-6, 0.0), (x.view(6, 4, 8), w[:8], 1e-6, 0.0),
        (x.transpose(0, 1), w[:8], 1e-6, 0.0), (x[:, ::2], w[:8], 1e-6, 0.0), (x, w[::2], 1e-6, 0.0),
        (x.bfloat16(), w[:8], 1e-6, 0.0), (x.bfloat16(), w[:8].bfloat16(), 1e-6, 0.0), (x, None, 1e-6, 0.0),
        (x, w[:8], 1.0, 0.0), (x, w[:8], 1e-6, 1.0),
    ]  # fmt: skip
    for again in range(2):
        for i, j in itertools.permutations(range(len(cases)), 2):
            for given, weight, eps, offset in (cases[i], cases[j]):
                before = given.clone()
                with torch.no_grad():
                    y = liger_rms_norm(given, weight, eps, offset)
                assert y.is_contiguous() and y.dtype == given.dtype and torch.equal(given, before)
                check_close(y, norm(given, weight, eps, offset), given.dtype, roundings=2.5)


def test_every_kind_has_one_call():
    """What was prepared is found again, and what must be made contiguous is no kind of its own stride."""
    made, count = [], _library.Call.__init__

    def counted(self, *arguments):
        made.append(arguments)
        count(self, *arguments)

    x, w = torch.randn(3, 5, 24), torch.ones(24)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(_library.Call, "__init__", counted)
        for _ in range(3):
            liger_rms_norm(x, w, 1e-6)
            liger_rms_norm(x[:, :, :], w, 1e-6)
        assert len(made) == 1
        for given in (x.transpose(0, 1).contiguous().transpose(0, 1), x.permute(2, 1, 0).contiguous().permute(2, 1, 0)):
            liger_rms_norm(given, w, 1e-6)
        assert len(made) == 2


def test_one_call_in_many_threads(device):
    """Threads that run one call at once, each over memory of its own."""
    inputs = [random(6, 512, device=device, grad=False) for _ in range(4)]
    w = torch.ones(512, device=device)
    expected = [liger_rms_norm(x, w, 1e-6) for x in inputs]
    wrong = []

    def work(x, y):
        for _ in range(300):
            if not torch.equal(liger_rms_norm(x, w, 1e-6), y):
                wrong.append(y)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(inputs, expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_outputs_are_new_memory_of_torchs_kind(device):
    for shape in ((0, 8), (3, 0, 2), (), (1,), (2, 3, 4)):
        kind = torch.empty(shape, device=device)
        made = _call._allocator(kind.device)(shape, _call._contiguous(shape), torch.bfloat16)
        assert made.shape == kind.shape and made.is_contiguous() and made.device == kind.device
        assert made.dtype == torch.bfloat16 and made.stride() == kind.stride()
    x = torch.randn(4, 8, device=device)
    with torch.inference_mode():
        assert liger_rms_norm(x, None, 1e-6).is_inference()
    first, second = liger_rms_norm(x, None, 1e-6), liger_rms_norm(x, None, 1e-6)
    assert first.data_ptr() != second.data_ptr() and first._version == 0 and not first.is_inference()


def test_memory_is_made_on_the_tensors_gpu(monkeypatch):
    """The fast allocation is the current GPU's: it is left where another is current."""
    made = []
    monkeypatch.setattr(_call, "_empty_on_current_gpu", lambda *layout: made.append("current"))
    monkeypatch.setattr(torch, "empty_strided", lambda *layout, dtype, device: made.append(device))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(_call, "_current_device", lambda: 0)
    for number in range(2):
        _call._allocator(torch.device("cuda", number))((4,), (1,), torch.float32)
    assert made == ["current", torch.device("cuda", 1)]
    monkeypatch.setattr(_call, "_empty_on_current_gpu", None)
    _call._allocator(torch.device("cuda", 0))((4,), (1,), torch.float32)
    assert made[2:] == [torch.device("cuda", 0)]


def test_torch_without_the_fast_allocation(monkeypatch, device):
    monkeypatch.setattr(_call, "_empty_on_cpu", None)
    monkeypatch.setattr(_call, "_empty_on_current_gpu", None)
    x, w = random(7, 40, device=device), random(40, device=device)
    y = liger_rms_norm(x, w, 1e-6)
    y.sum().backward()
    check_close(y, norm(x, w), torch.float32)
    assert w.grad.shape == w.shape


def test_gradients_are_handed_over_without_a_copy(device, monkeypatch):
    made, backward = [], module._backward

    def recorded(*arguments):
        results = backward(*arguments)
        made.extend(result.data_ptr() for result in results)
        return results

    monkeypatch.setattr(module, "_backward", recorded)
    x, w = random(6, 32, device=device), random(32, device=device)
    y = liger_rms_norm(x, w, 1e-6)
    upstream = torch.ones_like(y)
    y.backward(upstream)
    assert made == [x.grad.data_ptr(), w.grad.data_ptr()]


def test_backward_looks_at_what_it_is_given(device):
    """Hooks on saved tensors may give back others than were saved."""
    x, w = random(6, 32, device=device), random(32, device=device)
    upstream = random(6, 32, device=device, grad=False)
    expected = torch.autograd.grad(liger_rms_norm(x, w, 1e-6), (x, w), upstream)

    def passes(unpack):
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
            y = liger_rms_norm(x, w, 1e-6)
        return torch.autograd.grad(y, (x, w), upstream)

    # Elsewhere in memory, and with gaps.
    scattered = passes(lambda t: t.repeat_interleave(2, -1)[..., ::2] if t.dim() == 2 else t)
    assert all(torch.equal(a, b) for a, b in zip(scattered, expected))
    for unpack in (lambda t: t.bfloat16(), lambda t: t[:3], lambda t: t.to("meta")):
        with pytest.raises((ValueError, NotImplementedError), match="must be|CPU and CUDA"):
            passes(lambda t, unpack=unpack: unpack(t) if t.dim() == 2 else t)


def test_a_retained_graph_gives_the_same_again(device):
    x, w = random(6, 32, device=device), random(32, device=device)
    y = liger_rms_norm(x, w, 1e-6).sum() + liger_swiglu(x, x).sum()
    first = torch.autograd.grad(y, (x, w), retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, torch.autograd.grad(y, (x, w))))


def operations(device):
    w, labels = random(8, device=device), torch.tensor([1, 7], device=device)
    return [
        lambda x: liger_rms_norm(x, w, 1e-6), lambda x: liger_swiglu(x, x),
        lambda x: liger_layer_norm(x, w, w, 1e-6), lambda x: liger_cross_entropy(x, labels),
    ]  # fmt: skip


def test_nothing_is_recorded_without_autograd(device):
    x = random(2, 8, device=device)
    for run in operations(device):
        recorded = run(x)
        assert recorded.grad_fn is not None
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                y = run(x)
            assert y.grad_fn is None and not y.requires_grad and torch.equal(y, recorded)


def test_without_autograd_only_the_result_is_made(monkeypatch, device):
    made, allocator = [], _call._allocator

    def counted(device):
        empty = allocator(device)
        return lambda *layout: made.append(layout[0]) or empty(*layout)

    monkeypatch.setattr(_call, "_allocator", counted)
    # A shape that no other test has a call for.
    x = random(3, 88, device=device)
    with torch.no_grad():
        liger_rms_norm(x, None, 1e-6)
    assert made == [(3, 88)]
    liger_rms_norm(x, None, 1e-6)
    assert made[1:] == [(3, 88), (3,)]


@pytest.mark.parametrize("records", [True, False])
def test_forward_derivatives_are_refused(device, records):
    # Cross entropy detaches its input where autograd is off.
    for run in operations(device)[: None if records else 3]:
        with torch.set_grad_enabled(records), forward_ad.dual_level():
            dual = forward_ad.make_dual(torch.randn(2, 8, device=device), torch.randn(2, 8, device=device))
            with pytest.raises(NotImplementedError, match=r"no forward derivatives \(jvp\); found an input with a tangent"):
                run(dual)


@pytest.mark.parametrize("records", [True, False])
def test_torch_func(device, records):
    """Transforms are refused with a sentence; a tensor that outlived one is what it wraps."""
    outlived = []
    values = torch.randn(2, 8, device=device)
    torch.func.grad(lambda x: outlived.append(x) or x.sum())(values)
    for run in operations(device):
        with torch.set_grad_enabled(records):
            with pytest.raises(RuntimeError, match="found a transform of torch.func"):
                torch.func.vmap(lambda x, run=run: run(x))(torch.randn(3, 2, 8, device=device))
            with pytest.raises(RuntimeError, match="found a transform of torch.func"):
                torch.func.grad(lambda x, run=run: run(x).sum())(values)
            assert torch.equal(run(outlived[0]), run(values))


@pytest.mark.parametrize("creates_graph", [False, True])
def test_batches_of_upstream_gradients_are_refused(device, creates_graph):
    for run in operations(device):
        x = random(2, 8, device=device)
        y = run(x * 1)
        batch = torch.randn(3, *y.shape, device=device)
        with pytest.raises(RuntimeError, match="takes one upstream gradient; found a batch of them"):
            torch.autograd.grad(y, x, batch, is_grads_batched=True, create_graph=creates_graph)
        with pytest.raises(RuntimeError, match="takes one upstream gradient; found a batch of them"):
            torch.func.vmap(lambda v, x=x, y=y: torch.autograd.grad(y, x, v, retain_graph=True)[0])(batch)


def test_errors_inside_a_function_are_its_own():
    tried = []

    class Failing(Function):
        @staticmethod
        def forward(ctx, x):
            tried.append(x)
            raise RuntimeError("as it is")

    for records in (True, False):
        with torch.set_grad_enabled(records), pytest.raises(RuntimeError, match="as it is"):
            Failing.apply(torch.ones(2))
    assert len(tried) == 2


def test_export_without_tracing_bytecode():
    class Model(torch.nn.Module):
        def forward(self, x):
            return liger_rms_norm(x, None, 1e-6)

    for records in (True, False):
        with torch.set_grad_enabled(records):
            exported = torch.export.export(Model(), (torch.randn(2, 8),), strict=False)
        assert any("liger_kernel.rms_norm_forward" in str(node.target) for node in exported.graph.nodes)


def test_wrong_blocks_are_refused():
    call = _library.prepare("softmax_forward", -1, [("x", (2, 8), (8, 1), torch.float32)], {})
    x, y = torch.randn(2, 8), torch.empty(2, 8)
    assert call.enter(call.pack(call.handle, 0, 2, x.data_ptr(), y.data_ptr())) == _library.OK
    check_close(y, x.double().softmax(-1), torch.float32)
    for addresses, count, message in (((x, x), 2, "overlap"), ((x, y), 1, "takes 2 addresses; found 1")):
        packed = call.pack(call.handle, 0, count, *(t.data_ptr() for t in addresses))
        with pytest.raises(ValueError, match=message):
            call.recover(call.enter(packed), packed)
