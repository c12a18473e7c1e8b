"""Patched classes are put back after every test, and the comparison with an unpatched model in float64."""

import copy
import gc
import importlib
import sys

import pytest
import torch

from liger_kernel.transformers import families


@pytest.fixture(scope="session", autouse=True)
def modeling_modules():
    """Every modeling module that patching may touch, loaded, so that its state before a test is known."""
    directories = {row.directory for row in families.FAMILIES} | {"siglip"}
    for directory in sorted(directories):
        try:
            importlib.import_module(f"transformers.models.{directory}.modeling_{directory}")
        except ImportError:
            pass
    # As after the collection of tests: they stay, so no collection of garbage need go through them.
    gc.freeze()


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Models this small lose more to waking threads than they gain, and much more where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def put_back(modeling_modules):
    from transformers.activations import ACT2FN
    from transformers.loss import loss_utils

    modules = {
        module: dict(vars(module))
        for name, module in sys.modules.items()
        if name.startswith("transformers.models.") and ".modeling_" in name
    }
    heads = {name for row in families.FAMILIES for name in row.heads}
    forwards = {
        value: value.__dict__.get("forward")
        for names in modules.values()
        for name, value in names.items()
        if name in heads and isinstance(value, type)
    }
    # The table makes an instance of what one looks up, so it is copied as a plain dictionary.
    activations, nn = {name: dict.__getitem__(ACT2FN, name) for name in ACT2FN}, loss_utils.nn
    yield
    for module, names in modules.items():
        for name, value in names.items():
            if module.__dict__.get(name) is not value:
                setattr(module, name, value)
    for cls, forward in forwards.items():
        if forward is not None:
            cls.forward = forward
    ACT2FN.update(activations)
    loss_utils.nn = nn


def results(model, batch, **forward):
    """Loss and gradients of one training step's forward and backward, then the logits in evaluation."""
    model.zero_grad(set_to_none=True)
    output = model.train()(**batch, **forward)
    output.loss.backward()
    gradients = {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}
    with torch.no_grad():
        logits = model.eval()(**{k: v for k, v in batch.items() if k != "labels"}).logits
    model.train()
    return output.loss.detach(), logits, gradients


def in_double(model, batch):
    """The same step of an unpatched model in float64: what both others are measured against."""
    double = copy.deepcopy(model).double()
    # The grouped product of the experts has no float64; one expert after the other does.
    double.config._experts_implementation = "eager"
    batch = {k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in batch.items()}
    try:
        return results(double, batch)
    except RuntimeError as error:
        # Some releases mix an fp32 score into a product.
        pytest.skip(f"this release's {type(model).__name__} does not run in float64: {error}")


def check_against(exact, plain, patched, dtype):
    """That the patched model is about as close to float64 as the unpatched one in the same dtype.

    Twice the unpatched error, and 32 roundings of the largest element for those that happen to be near zero.
    """
    epsilon = torch.finfo(dtype).eps
    # bf16 has few enough digits that two roundings of a large element are the floor.
    floor = (32 if dtype == torch.float32 else 2) * epsilon
    loudest = max(g.abs().max().item() for g in exact[2].values())
    assert set(exact[2]) == set(patched[2]), "the same parameters have gradients"
    pairs = {"loss": (exact[0], plain[0], patched[0], 0.0), "logits": (exact[1], plain[1], patched[1], 0.0)}
    for name, gradient in exact[2].items():
        pairs[name] = (gradient, plain[2][name], patched[2][name], 1e-2 * loudest)
    for name, (truth, before, after, least) in pairs.items():
        assert bool(torch.isfinite(after).all()), f"{name} is not finite"
        scale = max(truth.abs().max().item(), least)
        was = (before.double() - truth).abs().max().item()
        now = (after.double() - truth).abs().max().item()
        bound = 2 * was + floor * scale
        assert now <= bound, f"{name}: error {now:.2e}, unpatched {was:.2e}, bound {bound:.2e}, scale {scale:.2e}"
