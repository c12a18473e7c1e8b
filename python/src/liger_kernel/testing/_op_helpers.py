"""An operation run by one implementation, compared with plain PyTorch: values and gradients."""

from dataclasses import dataclass
from typing import Callable

import torch

from liger_kernel.backends.dispatch import dispatch
from liger_kernel.backends.registry import get_registered

# What an implementation is held to where it registered nothing else.
_TOLERANCES = {
    torch.float32: {"atol_fwd": 1e-5, "rtol_fwd": 1e-5, "atol_bwd": 1e-4, "rtol_bwd": 1e-4},
    torch.float16: {"atol_fwd": 1e-2, "rtol_fwd": 1e-2, "atol_bwd": 5e-2, "rtol_bwd": 5e-2},
    torch.bfloat16: {"atol_fwd": 2e-2, "rtol_fwd": 2e-2, "atol_bwd": 1e-1, "rtol_bwd": 5e-2},
}


def pytorch_reference_rms_norm(x, weight, eps, offset=0.0, casting_mode="llama"):
    """RMSNorm over the last dimension, rounded where the casting mode rounds ("llama", "gemma" or "none").

    Raises ValueError for another mode.
    """
    if casting_mode not in ("llama", "gemma", "none"):
        raise ValueError(f"casting_mode must be 'llama', 'gemma' or 'none'; found {casting_mode!r}")
    rows, factor = (x, weight + offset) if casting_mode == "none" else (x.float(), weight + offset)
    normal = rows * torch.rsqrt((rows * rows).mean(-1, keepdim=True) + eps)
    if casting_mode == "gemma":
        return (normal * (weight.float() + offset)).to(x.dtype)
    return normal.to(x.dtype) * factor


def pytorch_reference_layer_norm(x, weight, bias, eps):
    """LayerNorm over the last dimension in fp32, rounded once."""
    rows = x.float()
    centred = rows - rows.mean(-1, keepdim=True)
    normal = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + eps)
    return (normal * weight.float() + bias.float()).to(x.dtype)


def iter_test_shapes(shapes):
    """The shapes of a test, one after the other."""
    yield from shapes


def requires_cuda(reason="CUDA required"):
    """A mark that skips a test where there is no CUDA device."""
    import pytest

    return pytest.mark.skipif(not torch.cuda.is_available(), reason=reason)


def sum_based_dw_close(dw, dw_ref, rtol, atol=1e-3):
    """Whether two weight gradients of one shape have nearly the same sum: (answer, why not).

    A looser question than their elements', for sums over many rows in 16 bits.
    """
    if dw.shape != dw_ref.shape:
        return False, f"the shapes differ: {tuple(dw.shape)} and {tuple(dw_ref.shape)}"
    found, wanted = dw.double().sum().item(), dw_ref.double().sum().item()
    difference = abs(found - wanted)
    if difference < atol or difference < rtol * abs(wanted):
        return True, ""
    return False, f"the sums differ: {found:.6g} and {wanted:.6g}, atol {atol:.3g}, rtol {rtol:.3g}"


def _tolerances_for(op_name, backend, dtype, casting_mode="llama"):
    """An implementation's own tolerances, the usual ones where it has none.

    Without upcasting ("none") each operation rounds in 16 bits, so that four times as much is allowed.
    """
    entry = get_registered(op_name, backend)
    own = dict(entry.tolerances.get(dtype, {})) if entry is not None else {}
    widened = 4.0 if casting_mode == "none" and dtype != torch.float32 else 1.0
    return {name: value * widened for name, value in {**_TOLERANCES.get(dtype, {}), **own}.items()}


@dataclass(frozen=True)
class _Check:
    """How to check an operation: its parameters by name, what `dispatch` takes after them, and the reference."""

    parameters: Callable
    reference: Callable
    options: Callable


def _norm_parameters(*names):
    def make(shape, generator, include_bias=True):
        columns = shape[-1]
        made = {"x": torch.randn(*shape, generator=generator)}
        made |= {name: torch.randn(columns, generator=generator) for name in names}
        if not include_bias:
            made["bias"] = torch.zeros(columns)
        return made

    return make


_CHECKS = {
    "rms_norm": _Check(
        _norm_parameters("weight"),
        lambda x, weight, o: pytorch_reference_rms_norm(x, weight, o["eps"], o["offset"], o["casting_mode"]),
        lambda o: (o["eps"], o["offset"], o["casting_mode"], False, None),
    ),
    "layer_norm": _Check(
        _norm_parameters("weight", "bias"),
        lambda x, weight, bias, o: pytorch_reference_layer_norm(x, weight, bias, o["eps"]),
        lambda o: (o["eps"],),
    ),
}


def assert_op_correctness(
    op_name, backend, shape, dtype, *, casting_mode="llama", offset=0.0, eps=1e-6, seed=0, device=None, extra=None,
    strict_grad=False,
):  # fmt: skip
    """Raises AssertionError where an implementation's values or gradients differ from plain PyTorch's.

    extra: {"include_bias": False} leaves LayerNorm's bias out. strict_grad: holds the elements of weight gradients,
    and not only their sums, to the tolerances. Raises KeyError for an operation that has no reference here.
    """
    if op_name not in _CHECKS:
        raise KeyError(f"there is no reference for {op_name!r}; there is one for {', '.join(sorted(_CHECKS))}")
    check, device = _CHECKS[op_name], device or ("cuda" if torch.cuda.is_available() else "cpu")
    options = {"eps": eps, "offset": offset, "casting_mode": casting_mode}
    parameters = check.parameters(shape, torch.Generator().manual_seed(seed), **(extra or {}))
    ours, theirs = (
        {name: p.to(device, dtype, copy=True).requires_grad_(bool(p.any())) for name, p in parameters.items()}
        for _ in range(2)  # Not one tensor twice, whose gradients would be compared with themselves.
    )
    y = dispatch(op_name, *ours.values(), *check.options(options), backend=backend)
    wanted = check.reference(*theirs.values(), options)
    tolerances = _tolerances_for(op_name, backend, dtype, casting_mode)
    where = f"{op_name} by {backend!r}, shape {tuple(shape)}, {dtype}, casting {casting_mode}"
    _check_close(f"{where}: forward", y, wanted, tolerances, "fwd")
    upstream = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed + 1)).to(device, dtype)
    y.backward(upstream)
    wanted.backward(upstream)
    for name, parameter in ours.items():
        if parameter.requires_grad:
            sums = name != "x" and not strict_grad
            _check_close(f"{where}: d{name}", parameter.grad, theirs[name].grad, tolerances, "bwd", sums)


def _check_close(what, found, wanted, tolerances, suffix, or_sums=False):
    if found.shape != wanted.shape:
        raise AssertionError(f"{what}: shape {tuple(found.shape)}, expected {tuple(wanted.shape)}")
    atol, rtol = tolerances[f"atol_{suffix}"], tolerances[f"rtol_{suffix}"]
    found, wanted = found.double(), wanted.double()
    difference = (found - wanted).abs()
    # A NaN is within nothing.
    outside = ~(difference <= atol + rtol * wanted.abs())
    if not outside.any() or (or_sums and sum_based_dw_close(found, wanted, rtol, atol)[0]):
        return
    place = tuple(outside.nonzero()[0].tolist())
    raise AssertionError(
        f"{what}: {int(outside.sum())} of {outside.numel()} elements outside atol {atol:.3g}, rtol {rtol:.3g}; the "
        f"first at {place}: {found[place].item():.6g}, expected {wanted[place].item():.6g}"
    )
