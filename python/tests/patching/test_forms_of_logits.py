"""Deferred logits: which operations leave them deferred, in which form, and that they are the logits."""

import pytest
import torch
import torch.nn.functional as F

from liger_kernel.transformers.model.deferred import DeferredLogits
from liger_kernel.transformers.model.deferred import selects_rows

pytestmark = pytest.mark.smoke


def deferred(shape=(3, 5)):
    head = torch.nn.Linear(8, 13)
    return DeferredLogits(head, torch.randn(*shape, 8), 13, fuse=None)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x,
        lambda x: x[:, -2:, :],
        lambda x: x[..., :-1, :],
        lambda x: x[0],
        lambda x: x[:, 1],
        lambda x: x[torch.tensor([[True, False, True, True, False]] * 3)],
        lambda x: x[None],
        lambda x: x[:, :, 2:4],
        lambda x: x[..., 3],
        lambda x: x[..., None],
        lambda x: x.float().view(-1, 13),
        lambda x: x.reshape(5, 3, 13),
        lambda x: x.reshape(-1),
        lambda x: x.contiguous().to("cpu").to(torch.float64),
        lambda x: x / 3.0 * 2,
        lambda x: torch.tanh(x / 3.0) * 3.0,
        lambda x: 2 * x,
        lambda x: x + 1,
        lambda x: torch.softmax(x, -1),
        lambda x: x.argmax(-1),
        lambda x: x.transpose(1, 2),
        lambda x: x * torch.tensor(2.0),
    ],
)
def test_deferred_logits_are_the_logits(operation):
    x = deferred()
    expected = operation(x.head(x.hidden))
    found = operation(x)
    shape = found.shape
    found = found.make() if isinstance(found, DeferredLogits) else found
    assert shape == expected.shape and found.dtype == expected.dtype
    assert bool(torch.isclose(found, expected, rtol=1e-5, atol=1e-6).all())


def test_what_changes_no_row_stays_deferred():
    x = deferred()
    mask = torch.ones(3, 5, dtype=torch.bool)
    for y in (x[:, :-1], x[..., 1:, :], x[mask], x.view(-1, 13), x.float(), x / 2, torch.tanh(x)):
        assert isinstance(y, DeferredLogits)
    assert x.made is None
    assert not selects_rows((Ellipsis, slice(0, 3)), 3) and not selects_rows((0, 0, 0), 3)


def test_logits_changed_in_place_stay_changed():
    x = deferred()
    x[0, 0, 0] = 100.0
    expected = x.head(x.hidden)
    expected[0, 0, 0] = 100.0
    assert x.form() is None
    for found, wanted in ((x.float(), expected), (x[:, :2], expected[:, :2]), (x.view(-1, 13), expected.view(-1, 13))):
        assert bool((found == wanted).all())
    loss = F.cross_entropy(x.view(-1, 13), torch.arange(13).repeat(2)[:15])
    torch.testing.assert_close(loss, F.cross_entropy(expected.view(-1, 13), torch.arange(13).repeat(2)[:15]))


def test_the_form_of_the_logits():
    x = deferred()
    assert x.form() == (1.0, None)
    assert (torch.tanh(x / 30.0) * 30.0).form() == (1.0, 30.0), "Gemma's bound scales by exactly one"
    assert (torch.tanh(x / 7.3) * 7.3).form() == (1.0, 7.3)
    assert (x / 4).form() == (0.25, None)
    assert (torch.tanh(x * 3.0 / 30.0) * 30.0).form() == (3.0, 30.0)
    assert torch.tanh(torch.tanh(x)).form() is None


def test_cross_entropy_of_deferred_logits_is_fused():
    calls = []
    x = DeferredLogits(
        torch.nn.Linear(8, 13), torch.randn(6, 8), 13, lambda d, t, **o: calls.append(o) or torch.ones(())
    )
    target = torch.tensor([1, 2, 3, -100, 5, 6])
    F.cross_entropy(x, target, ignore_index=-100, label_smoothing=0.1)
    torch.nn.CrossEntropyLoss(reduction="sum")(x.float(), target)
    assert [c["reduction"] for c in calls] == ["mean", "sum"] and calls[0]["label_smoothing"] == 0.1
    none = F.cross_entropy(x, target, reduction="none")
    assert len(calls) == 2 and none.shape == (6,), "losses per token are torch's own"
