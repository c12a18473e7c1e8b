"""Sequences for the tests, log-probabilities of their labels in plain torch, and how exact losses of them are.

On a GPU the gradient of a layer's logits has the weight's type, and so have the logits of most losses; of those beside
a teacher they are fp32. In 16 bits that moves a loss by far more than fp32 arithmetic does, and what follows the value,
such as clipping, to its other side. It is torch's doing too, and no fault to allow for: instead the reference rounds
its logits alike (`as_stored`), unless they are exact (`stays_exact`), and 16-bit factors are such that sums
of their products are exact in fp32 in any order (`factor`). So both round the same numbers, and losses have the same
bounds in every type and on every device. What is left to allow for is the logits' gradient, which is rounded before it
is multiplied (`check_gradient`).
"""

import types

import torch

from conftest import check_close
from conftest import random

IGNORED = -100
FP32 = 32 * torch.finfo(torch.float32).eps


def factor(*shape, dtype, **options):
    """Random numbers; those of 16 bits are multiples of 1/16 below 8 in size, which both types hold.

    Their products are multiples of 2^-8 and, in these tests, sums of them stay below 2^16: 24 bits, as fp32 has.
    """
    made = random(*shape, dtype=dtype, **options)
    if dtype != torch.float32:
        made.data = (made.detach() * 16).round().clamp(-127, 127) / 16
    return made


def on_gpu(tensor):
    return tensor.is_cuda


def stays_exact(weight, bias=None):
    """Whether kernels multiply by this weight, so that logits stay in fp32 and exponentials are stored of them."""
    return (
        on_gpu(weight) and weight.dtype == torch.bfloat16 and bias is None and weight.shape[1] % 8 == 0
        and torch.cuda.get_device_capability(weight.device) == (9, 0)
    )  # fmt: skip


def as_stored(logits, weight, exact=False):
    """float64 logits with the values that they have beside a weight like this; they keep their gradient.

    exact: whether the loss keeps them in fp32 on every device.
    """
    if not exact and on_gpu(weight) and weight.dtype != torch.float32:
        logits = logits + (logits.detach().to(weight.dtype) - logits.detach())
    if logits.requires_grad:
        logits.retain_grad()
    return logits


def check_gradient(name, found, wanted, magnitudes, others, upstream, roundings=1):
    """A gradient on a GPU, where those of logits are rounded before they are multiplied, element by element.

    A rounding moves a number by at most u of it, half of its type's epsilon, or half of the least step there is. So
    the sum dz_1 x_1 + dz_2 x_2 + ..., rounded as it is made and again as the upstream gradient multiplies it, is off by
    at most u (|dz_1 x_1| + |dz_2 x_2| + ...) and 2 u of itself. Beside these stands fp32 arithmetic, whose roundings
    are those of the largest of such sums.

    magnitudes: the sum in parentheses. others: |x_1| + |x_2| + ..., for the least steps. roundings: 2 where dz is a
    product of two numbers, one of them with its x, that are each rounded, and so is the sum before it is multiplied by
    the second.
    """
    kind = torch.finfo(found.dtype)
    u, step = (0.0, 0.0) if found.dtype == torch.float32 else (kind.eps / 2, kind.smallest_normal * kind.eps / 2)
    steps = step * ((others + 1) * upstream + 1)
    bound = u * (roundings * magnitudes + (1 + roundings) * wanted.abs()) + steps + FP32 * magnitudes.max()
    error = (found.detach().double() - wanted).abs()
    # Not `error > bound`, which NaN is not; all may be 0.
    beyond = ~(error <= bound)
    found, allowed = error[beyond][:4].tolist(), bound.expand_as(error)[beyond][:4].tolist()
    assert not found, f"gradient of the {name}: errors {found}, bounds {allowed}"


def check_layer_gradients(tensors, twins, logits, dtype, upstream=1.0, roundings=1):
    """Gradients of a layer's input, weight and bias, by those of its copy's logits; upstream: what they include."""
    x, weight = (t.detach().abs().flatten(0, -2) for t in twins[:2])
    for name, ours, twin in zip(("input", "weight", "bias"), tensors, twins):
        if ours is None:
            continue
        assert ours.grad.dtype == ours.dtype and ours.grad.shape == ours.shape
        if not on_gpu(ours):
            check_close(ours.grad, twin.grad, dtype, 2.5, f"gradient of the {name}")
            continue
        dz = logits.grad.abs().flatten(0, -2)
        magnitudes, others = {
            "input": (dz @ weight, weight.sum(0)), "weight": (dz.T @ x, x.sum(0)), "bias": (dz.sum(0), len(dz)),
        }[name]  # fmt: skip
        check_gradient(
            name, ours.grad, twin.grad, magnitudes.view(ours.shape), others, max(1.0, upstream), roundings
        )


class Layer:
    """A model's last layer and its input, with a copy in float64; everything in it needs a gradient."""

    def __init__(self, count, length, hidden, classes, dtype, device, has_bias=True, scale=1.0, grad=True):
        make = {"device": device, "dtype": dtype, "grad": grad}
        self.input = factor(count, length, hidden, scale=scale, **make)
        self.weight = factor(classes, hidden, **make)
        self.bias = factor(classes, **make) if has_bias else None
        self.tensors = [t for t in (self.input, self.weight, self.bias) if t is not None]
        self.twins = [t.detach().double().requires_grad_(grad) for t in self.tensors]

    def logits(self, exact=False, rounded=False):
        """Of the copy; the last ones are kept. exact: as for `as_stored`; rounded: if the loss needs them."""
        x, weight, *bias = self.twins
        self.is_exact = not rounded and stays_exact(self.weight, self.bias)
        self.kept = as_stored(x @ weight.T + (bias[0] if bias else 0), self.weight, exact or self.is_exact)
        return self.kept

    def check_gradients(self, dtype, upstream=1.0):
        roundings = 2 if self.is_exact else 1
        check_layer_gradients(self.tensors, self.twins, self.kept, dtype, upstream, roundings)


def targets(count, length, classes, device, ignored=0.3):
    """Labels of which some are ignored, with at least one counting in each row."""
    labels = torch.randint(classes, (count, length), device=device)
    hidden = torch.rand(count, length, device=device) < ignored
    hidden[:, 0] = False
    return labels.masked_fill(hidden, IGNORED)


def log_probabilities(logits, labels, temperature=1.0):
    """Of each label, 0 where it is ignored."""
    counts = labels != IGNORED
    chosen = (logits / temperature).log_softmax(-1).gather(-1, labels.clamp_min(0)[..., None]).squeeze(-1)
    return chosen * counts


def answers(logits, labels, average):
    """Log-probabilities of answers: sums, or means over the labels that count."""
    total = log_probabilities(logits, labels).sum(-1)
    return total / (labels != IGNORED).sum(-1).clamp_min(1) if average else total


def check_results(found, expected, terms=types.MappingProxyType({})):
    """Every number of a tuple, all of them fp32 and without a gradient. terms: `check_close`'s, by position."""
    assert len(found) == len(expected)
    for i, (a, b) in enumerate(zip(found, expected)):
        assert a.dtype == torch.float32 and not a.requires_grad
        check_close(a, torch.as_tensor(b, dtype=torch.float64), torch.float32, what=f"result {i}", terms=terms.get(i))
