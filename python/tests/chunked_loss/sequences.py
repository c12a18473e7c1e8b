"""Sequences for the tests, and log-probabilities of their labels in plain torch."""

import torch

from conftest import check_close
from conftest import random

IGNORED = -100


class Layer:
    """A model's last layer and its input, with a copy in float64; everything in it needs a gradient."""

    def __init__(self, count, length, hidden, classes, dtype, device, has_bias=True, scale=1.0, grad=True):
        make = {"device": device, "dtype": dtype, "grad": grad}
        self.input = random(count, length, hidden, scale=scale, **make)
        self.weight = random(classes, hidden, **make)
        self.bias = random(classes, **make) if has_bias else None
        self.tensors = [t for t in (self.input, self.weight, self.bias) if t is not None]
        self.twins = [t.detach().double().requires_grad_(grad) for t in self.tensors]

    def logits(self):
        """Of the copy."""
        x, weight, *bias = self.twins
        return x @ weight.T + (bias[0] if bias else 0)

    def check_gradients(self, dtype, roundings=2.5):
        for name, ours, twin in zip(("input", "weight", "bias"), self.tensors, self.twins):
            assert ours.grad.dtype == ours.dtype and ours.grad.shape == ours.shape
            check_close(ours.grad, twin.grad, dtype, roundings, f"gradient of the {name}")


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


def check_results(found, expected, dtype, roundings=1.5):
    """Every number of a tuple, all of them fp32 and without a gradient."""
    assert len(found) == len(expected)
    for i, (a, b) in enumerate(zip(found, expected)):
        assert a.dtype == torch.float32 and not a.requires_grad
        check_close(a, torch.as_tensor(b, dtype=torch.float64), torch.float32, roundings, f"result {i}")
