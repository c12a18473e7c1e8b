"""Deferred logits give what the logits would give: values, gradients, errors, whoever is given them and however."""

import copy
import gc
import io
import pickle
import weakref

from collections import namedtuple
from functools import partial

import numpy
import pytest
import torch
import torch.nn.functional as F

from liger_kernel.transformers.cross_entropy import LigerCrossEntropyLoss
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.model.deferred import DeferredLogits
from patching.test_loss_forward import close

pytestmark = pytest.mark.smoke

ROWS, TOKENS, WIDTH, VOCABULARY = 3, 5, 8, 13
TARGET = torch.arange(ROWS * TOKENS) % VOCABULARY
Pair = namedtuple("Pair", "first second")


def leaves():
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(ROWS, TOKENS, WIDTH, generator=generator, requires_grad=True)
    head = torch.nn.Linear(WIDTH, VOCABULARY)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return hidden, head


def both(operation, mode=torch.enable_grad):
    """What an operation makes of logits and of deferred ones, with the gradients of a sum over it."""
    results = []
    for make in (torch.nn.Linear.__call__, partial(DeferredLogits, vocabulary=VOCABULARY, fuse=None)):
        hidden, head = leaves()
        with mode():
            outputs = flat(operation(make(head, hidden)))
        gradients = None
        tracked = [output for output in outputs if torch.is_tensor(output) and output.requires_grad]
        if tracked:
            sum((t.float() * torch.arange(1, t.numel() + 1).view(t.shape)).sum() for t in tracked).backward()
            gradients = hidden.grad, head.weight.grad, head.bias.grad
        results.append((outputs, gradients))
    return results


def flat(value):
    if isinstance(value, dict):
        return [item for one in value.values() for item in flat(one)]
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return [item for one in value for item in flat(one)]
    return [value]


def same(operation, mode=torch.enable_grad):
    (expected, wanted), (found, gradients) = both(operation, mode)
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        if not torch.is_tensor(b):
            assert type(a) is type(b) and (numpy.allclose(a, b) if isinstance(b, numpy.ndarray) else a == b)
            continue
        a = a.make() if isinstance(a, DeferredLogits) else a
        assert a.shape == b.shape and a.dtype == b.dtype and a.requires_grad == b.requires_grad
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True)
    assert (gradients is None) == (wanted is None)
    for a, b in zip(gradients or (), wanted or ()):
        assert (a is None) == (b is None)
        if b is not None and b.any():
            close(a, b, 1e-5)


class Doubled(torch.autograd.Function):
    """A Function of a user's own, whose argument is read in C++."""

    @staticmethod
    def forward(ctx, logits, factor):
        ctx.save_for_backward(logits)
        return logits * logits * factor

    @staticmethod
    def backward(ctx, gradient):
        (logits,) = ctx.saved_tensors
        return 2 * logits * gradient * 2, None


@torch.jit.script
def scripted(logits):
    return logits * logits + 1


def in_place(change):
    """An operation that changes logits after parts of them have been taken."""

    def operation(logits):
        rows, as_float, flat_rows = logits[:, 1:], logits.float(), logits.contiguous().view(-1, VOCABULARY)
        returned = change(logits)
        return logits, rows, as_float, flat_rows, returned if torch.is_tensor(returned) else None

    return operation


OPERATIONS = {
    # Several at once, in lists, tuples and keyword arguments.
    "cat": lambda x: torch.cat([x, x]),
    "cat of halves": lambda x: torch.cat((x[:1], x[1:]), dim=0),
    "cat by keywords": lambda x: torch.cat(tensors=[x, torch.ones(ROWS, TOKENS, VOCABULARY)], dim=-1),
    "concat of scaled": lambda x: torch.concat([x * 2, x / 3, x.tanh()], dim=1),
    "stack": lambda x: torch.stack([x, x.float()], dim=1),
    "hstack": lambda x: torch.hstack((x[0], x[1])),
    "vstack": lambda x: torch.vstack([x, x]),
    "where": lambda x: torch.where(torch.arange(VOCABULARY) % 2 == 0, x, torch.tensor(0.0)),
    "where condition": lambda x: torch.where(x > 0, x, -x),
    "einsum": lambda x: torch.einsum("btv,bsv->bts", x, x),
    "einsum of a list": lambda x: torch.einsum("btv,v->bt", [x, torch.ones(VOCABULARY)]),
    "chunk": lambda x: torch.chunk(x, 2, dim=-1),
    "split": lambda x: x.split(4, dim=-1),
    "unbind": lambda x: torch.unbind(x),
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x, torch.ones(1)),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[0, 1], indexing="ij"),
    "block_diag": lambda x: torch.block_diag(x[0], x[1]),
    "named tuple": lambda x: torch.cat(Pair(x, x * 2)),
    "pad_sequence": lambda x: torch.nn.utils.rnn.pad_sequence([x[0], x[1, :2]], batch_first=True),
    "out": lambda x: torch.mul(x.detach(), 2, out=torch.empty(ROWS, TOKENS, VOCABULARY)),
    "index": lambda x: torch.arange(30)[x.argmax(-1)],
    # One at a time.
    "slice": lambda x: x[:, -2:, :],
    "slice of a slice": lambda x: x[:, 1:][:, :-1][0],
    "bool": lambda x: x[True],
    "list index": lambda x: x[[0, 2]],
    "numpy index": lambda x: x[numpy.array([0, 2])],
    "gather": lambda x: x.gather(-1, x.argmax(-1, keepdim=True)),
    "take_along_dim": lambda x: torch.take_along_dim(x, x.argmax(-1, keepdim=True), -1),
    "softmax": lambda x: torch.softmax(x, dim=-1),
    "log_softmax": lambda x: F.log_softmax(x.float(), dim=-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "max": lambda x: x.max(-1),
    "topk": lambda x: x.topk(3),
    "sort": lambda x: torch.sort(x, dim=-1),
    "argmax": lambda x: x.argmax(-1),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "clamp": lambda x: x.clamp(-1, 1),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "transpose": lambda x: (x.transpose(1, 2), x.mT, x.permute(2, 0, 1), x.movedim(0, 1)),
    "flatten": lambda x: (x.flatten(0, 1), x.flatten(), x.unsqueeze(0), x.squeeze(), x.reshape(-1), x.view(-1, 13)),
    "view by keyword": lambda x: x.view(size=(15, 13)),
    "view of another type": lambda x: x.detach().view(torch.int32),
    "expand": lambda x: x[None].expand(2, -1, -1, -1),
    "arithmetic": lambda x: (x + 1, 1 - x, x / 2, 3 / x, -x, x**2, x.detach() // 1, x % 2, 2**x, abs(x)),
    "arithmetic with itself": lambda x: (x * x, x @ x.mT, x - x.float(), x / x),
    "arithmetic with tensors": lambda x: (x * torch.tensor(2.0), torch.tensor(2.0) * x, torch.ones(13) + x),
    "arithmetic with numpy": lambda x: (x * numpy.float64(2), x / numpy.float32(3)),
    "functions of numbers": lambda x: (torch.mul(x, 2), torch.div(x, 3), torch.true_divide(x, 2), torch.multiply(x, 3)),
    "rounded quotient": lambda x: torch.div(x, 3, rounding_mode="floor"),
    "comparison": lambda x: (x > 0, x <= 1, x == x, x != x, x.isnan()),
    "types": lambda x: (x.float(), x.double(), x.half(), x.to(torch.bfloat16), x.to(dtype=torch.float64), x.type_as(x)),
    "to": lambda x: (x.to("cpu"), x.to(torch.device("cpu")), x.to("cpu", torch.float64), x.cpu(), x.to(x), x.long()),
    "tanh": lambda x: (torch.tanh(x), x.tanh(), F.tanh(x), torch.tanh(input=x)),
    "bound": lambda x: torch.tanh(x / 30.0) * 30.0,
    "detach": lambda x: (x.detach(), x.data, x.clone(), x.contiguous(), x.new_zeros(2), torch.zeros_like(x)),
    "cross entropy": lambda x: F.cross_entropy(x.view(-1, VOCABULARY), TARGET),
    "cross entropy by keywords": lambda x: F.cross_entropy(input=x.view(-1, VOCABULARY), target=TARGET),
    "cross entropy, none": lambda x: F.cross_entropy(x.view(-1, VOCABULARY), TARGET, reduction="none"),
    "cross entropy, (N, C, d)": lambda x: F.cross_entropy(x.transpose(1, 2), TARGET.view(ROWS, TOKENS)),
    "cross entropy, soft": lambda x: F.cross_entropy(x, torch.softmax(x.detach(), 1)),
    "cross entropy of itself": lambda x: F.cross_entropy(x[0], x[1].softmax(-1)),
    "cross entropy, old options": lambda x: F.cross_entropy(x.view(-1, 13), TARGET, size_average=False),
    "other losses": lambda x: (F.nll_loss(x.view(-1, 13), TARGET), F.kl_div(x, x, log_target=True), F.mse_loss(x, -x)),
    "the package's losses": lambda x: (
        liger_cross_entropy(x.view(-1, 13), TARGET),
        LigerCrossEntropyLoss()(x.float().view(-1, 13), TARGET),
    ),
    "modules": lambda x: (torch.nn.Softmax(-1)(x), torch.nn.LayerNorm(13)(x), F.dropout(x, 0.5, training=False)),
    # Past `__torch_function__`.
    "a function of one's own": lambda x: Doubled.apply(x, 2),
    "a function of one's own of rows": lambda x: Doubled.apply(x[:, 1:].float() * 3, 2),
    "both ways": lambda x: (Doubled.apply(x, 2), x.sum()),
    "scripted": lambda x: scripted(x),
    "checkpoint": lambda x: torch.utils.checkpoint.checkpoint(lambda y: y.exp(), x, use_reentrant=False),
    "checkpoint, reentrant": lambda x: torch.utils.checkpoint.checkpoint(lambda y: y.exp(), x, use_reentrant=True),
    "no_grad": lambda x: (torch.no_grad()(torch.argmax)(x), x.float(), x[:, 1:]),
    "rows of no_grad": lambda x: (torch.no_grad()(lambda: x[:, 1:].float())(), x * 2),
    "inference": lambda x: (torch.inference_mode()(lambda: x.argmax(-1).clone())(), x.exp()),
    # In place: parts that were taken before see the change where they are views.
    "mul_": in_place(lambda x: x.mul_(2)),
    "setitem": in_place(lambda x: x.__setitem__((0, 0), 5.0)),
    "add_": in_place(lambda x: x.add_(1)),
    "augmented": in_place(lambda x: x.__imul__(3)),
    "change of a view": in_place(lambda x: x[:, 1:].zero_()),
    "change of rows": in_place(lambda x: x.view(-1, VOCABULARY)[2].fill_(7.0)),
    "clamp_": in_place(lambda x: torch.clamp_(x, -1, 1)),
    "copy_": in_place(lambda x: x.copy_(torch.ones(()))),
    "masked_fill_": in_place(lambda x: x.masked_fill_(x > 0, 0)),
    # What is not a tensor.
    "sizes": lambda x: (x.shape, x.size(), x.size(-1), x.dim(), x.ndim, x.numel(), len(x), x.nelement(), x.stride()),
    "kinds": lambda x: (x.dtype, x.device, x.layout, x.is_cuda, x.requires_grad, x.is_leaf, x.is_floating_point()),
    "strides": lambda x: (x.is_contiguous(), x[:, 1:].is_contiguous(), x[:, 1:].stride(), x[:, 1:].storage_offset()),
    "numbers": lambda x: (x.sum().item(), float(x[0, 0, 0]), int(x[0, 0, 0]), bool(x[0, 0, 0] > 0), x[0, 0].tolist()),
    "text": lambda x: (repr(x.detach()), str(x.detach()), f"{x[0, 0, 0]:.3f}"),
    "numpy": lambda x: (x.detach().numpy(), numpy.asarray(x.detach()), numpy.array(x[0].detach())),
    "iteration": lambda x: ([row for row in x], list(reversed(x)), 5.0 in x),
    "unpacking": lambda x: [first for first, *_ in [x]],
    "kinds of Python": lambda x: (isinstance(x, torch.Tensor), torch.is_tensor(x), callable(getattr(x, "sum"))),
    "deep copy": lambda x: copy.deepcopy(x.detach()),
    "pickling": lambda x: pickle.loads(pickle.dumps(x.detach())),
    "saving": lambda x: saved(x.detach()),
}


def saved(tensor):
    file = io.BytesIO()
    torch.save(tensor, file)
    file.seek(0)
    return torch.load(file)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_what_it_gives_of_logits(name):
    same(OPERATIONS[name])


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "checkpoint" not in name and "inference" not in name])
def test_an_operation_in_no_grad(name):
    same(OPERATIONS[name], torch.no_grad)


@pytest.mark.parametrize("trained", [("hidden",), ("weight",), ("bias",), ()])
def test_what_is_frozen_has_no_gradient(trained):
    hidden, head = leaves()
    parts = {"hidden": hidden, "weight": head.weight, "bias": head.bias}
    for name, part in parts.items():
        part.requires_grad_(name in trained)
    logits = DeferredLogits(head, hidden, VOCABULARY, None)
    assert logits.requires_grad == bool(trained) == logits[:, 1:].float().requires_grad
    if trained:
        Doubled.apply(logits, 2).sum().backward()
    assert [name for name, part in parts.items() if part.grad is not None] == list(trained)


def test_logits_are_made_once_and_as_they_were_asked_for():
    calls = []
    hidden, head = leaves()
    head.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = DeferredLogits(head, hidden, VOCABULARY, None)
        rows, wide = logits[:, 1:], logits.float()
    assert logits.dtype == torch.bfloat16 and rows.form() is None, "autocast is off by now"
    with torch.no_grad():
        assert rows.argmax(-1).shape == (ROWS, TOKENS - 1)
    assert logits.sum().dtype == torch.bfloat16 and wide.sum().requires_grad
    assert calls == [True], "one call, which autograd recorded"
    with torch.no_grad():
        logits = DeferredLogits(head, hidden, VOCABULARY, None)
    assert not logits.requires_grad and not logits.exp().requires_grad


def test_rows_of_logits_that_were_changed_are_not_fused():
    hidden, head = leaves()
    logits = DeferredLogits(head, hidden, VOCABULARY, fuse=None)
    rows = logits.view(-1, VOCABULARY)
    assert rows.form() == (1.0, None)
    logits.mul_(2)
    assert rows.form() is None
    close(F.cross_entropy(rows, TARGET), F.cross_entropy(2 * head(hidden).view(-1, VOCABULARY), TARGET))


def test_hidden_states_that_change_are_an_error():
    hidden, head = leaves()
    states = hidden * 1
    logits = DeferredLogits(head, states, VOCABULARY, None)[:, 1:]
    states.add_(1)
    for use in (logits.form, logits.sum):
        with pytest.raises(RuntimeError, match="changed in place"):
            use()


def cubed(head, hidden):
    return Doubled.apply(DeferredLogits(head, hidden, VOCABULARY, None), 2).sum()


def test_a_weight_that_is_part_of_the_history_counts_once():
    found = []
    for make in (lambda head, hidden: Doubled.apply(head(hidden), 2).sum(), cubed):
        hidden, head = leaves()
        make(head, torch.tanh(hidden @ head.weight[:WIDTH])).backward()
        found.append(head.weight.grad)
    close(*found, 1e-5)


def test_where_a_gradient_cannot_be_given_is_an_error():
    hidden, head = leaves()
    logits = DeferredLogits(head, hidden, VOCABULARY, None)
    logits.mul_(3)
    with pytest.raises(RuntimeError, match="changed in place"):
        Doubled.apply(logits, 2).sum().backward()
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(cubed(head, hidden), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="at random"):
        cubed(torch.nn.Sequential(head, torch.nn.Dropout()), hidden).backward()


def test_nothing_is_kept():
    hidden, head = leaves()
    states = hidden * 1
    kept = weakref.ref(states)
    logits = DeferredLogits(head, states, VOCABULARY, None)
    (Doubled.apply(logits[:, 1:], 2).sum() + logits.exp().sum()).backward()
    gc.collect()
    gc.disable()
    try:
        del states, logits
        assert kept() is None
    finally:
        gc.enable()
