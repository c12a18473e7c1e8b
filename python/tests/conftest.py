"""What the tests share: devices, seeds, and the comparison with float64."""

import gc
import os

import pytest
import torch

# Of all modules, by what torch calls them: kernels fall back while there is one.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def pytest_configure():
    """Processes of pytest-xdist, one a core, have a thread each; more of them would wait for each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)
    # Compilers and models make many objects at once, most of which live on.
    gc.set_threshold(10_000, 10, 10)


def pytest_collection_finish():
    """What is imported by now stays: no later collection goes through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


@pytest.fixture(params=DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def dtype(request):
    return request.param


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20261123)


@pytest.fixture(autouse=True)
def no_hook_of_all_modules_is_left():
    yield
    modules = torch.nn.modules.module
    left = [kind for kind in HOOKS if getattr(modules, f"_global{kind}")]
    for kind in left:
        getattr(modules, f"_global{kind}").clear()
    # Which of two kinds of backward hooks there was last; torch takes no other ever after.
    modules._global_is_full_backward_hook = None
    assert not left, f"the test left hooks on all modules: {', '.join(left)}"


def check_close(actual, expected, dtype, roundings=1.5, what="result", terms=None):
    """That no element of `actual` is further from float64's than a few roundings of the largest element.

    roundings: how many roundings to the storage type the formula has, in units of its epsilon; fp32 has 32, as
    its sums have many terms. terms: what the result is a sum of, where that may be far larger than the result: the
    largest of them counts then.
    """
    assert actual.shape == expected.shape, f"{what}: shape {tuple(actual.shape)}, not {tuple(expected.shape)}"
    actual, expected = actual.detach().double().cpu(), expected.detach().double().cpu()
    assert bool(torch.isfinite(actual).all()) == bool(torch.isfinite(expected).all()), f"{what}: not finite"
    if expected.numel() == 0:
        return
    epsilon = torch.finfo(dtype).eps
    bound = max(roundings * epsilon if dtype != torch.float32 else 0, 32 * torch.finfo(torch.float32).eps)
    scale = max(t.detach().double().abs().max().item() for t in (expected, *(terms or ())))
    scale = max(scale, 1e-6)
    # Below the normal numbers a type's steps have one size.
    step = roundings * torch.finfo(dtype).smallest_normal * epsilon
    worst = ((actual - expected).abs().max() - step).item() / scale
    assert worst <= bound, f"{what}: error {worst:.2e} of the largest element, bound {bound:.2e}"


def random(*shape, device="cpu", dtype=torch.float32, grad=True, scale=1.0):
    """Random numbers as a leaf."""
    return (scale * torch.randn(*shape)).to(device=device, dtype=dtype).requires_grad_(grad)


def twin(tensor):
    """A leaf of the same values in float64."""
    return None if tensor is None else tensor.detach().double().requires_grad_(tensor.requires_grad)


def check_function(ours, reference, inputs, dtype, roundings=1.5, gradient_roundings=2.5, terms=None):
    """Outputs and gradients of a function against a plain one in float64, for random upstream gradients.

    terms: by an input's number, a function of the inputs and upstream gradients that gives what its gradient is the
    sum of, where terms of either sign may cancel.
    """
    twins = [twin(t) if isinstance(t, torch.Tensor) and t.is_floating_point() else t for t in inputs]
    outputs, expected = ours(*inputs), reference(*twins)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for i, (a, b) in enumerate(zip(outputs, expected, strict=True)):
        assert a.dtype == dtype, f"output {i} is {a.dtype}"
        check_close(a, b, dtype, roundings, f"output {i}")
    upstream = [torch.randn_like(a) for a in outputs]
    torch.autograd.backward(outputs, upstream)
    torch.autograd.backward(expected, [u.double() for u in upstream])
    for i, (a, b) in enumerate(zip(inputs, twins)):
        if isinstance(b, torch.Tensor) and b.is_floating_point():
            assert (a.grad is None) == (b.grad is None), f"gradient {i}: {'none' if a.grad is None else 'one'}"
            if a.grad is not None:
                assert a.grad.dtype == a.dtype and a.grad.device == a.device
                summed = [terms[i](*twins, *(u.double() for u in upstream))] if terms and i in terms else None
                check_close(a.grad, b.grad, dtype, gradient_roundings, f"gradient {i}", summed)
