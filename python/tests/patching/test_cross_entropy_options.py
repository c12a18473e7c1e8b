"""The cross entropy that stands in for torch's takes all that torch's takes, and gives what torch's gives."""

import pytest
import torch
import torch.nn.functional as F

from liger_kernel import launch_counts
from liger_kernel.transformers.cross_entropy import LigerCrossEntropyLoss
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama

pytestmark = pytest.mark.smoke

ROWS, CLASSES = 7, 13


def stand_in():
    """The function that transformers' losses reach as `nn.functional.cross_entropy` after patching."""
    from transformers.loss import loss_utils

    apply_liger_kernel_to_llama(cross_entropy=True, fused_linear_cross_entropy=False)
    return loss_utils.nn.functional.cross_entropy


def compare(logits, target, function=None, **options):
    """Loss and gradients for a random upstream gradient, to a few roundings of the type."""
    function = function or stand_in()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    found, expected = function(ours, target, **options), F.cross_entropy(theirs, target, **options)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    upstream = torch.randn_like(expected)
    found.backward(upstream)
    expected.backward(upstream)
    for a, b in ((found.detach(), expected.detach()), (ours.grad, theirs.grad)):
        scale = b.double().abs().max().clamp_min(1e-6)
        assert (a.double() - b.double()).abs().max() <= 8 * torch.finfo(logits.dtype).eps * scale
    return found


def targets(ignored=-100):
    target = torch.arange(ROWS) % CLASSES
    target[2] = ignored
    return target


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("ignored", [-100, 3])
def test_rows_of_logits(dtype, reduction, weighted, smoothing, ignored):
    weight = (torch.rand(CLASSES) + 0.5).to(dtype) if weighted else None
    options = dict(weight=weight, reduction=reduction, label_smoothing=smoothing, ignore_index=ignored)
    compare(torch.randn(ROWS, CLASSES, dtype=dtype), targets(ignored), **options)


@pytest.mark.filterwarnings("ignore:size_average")
@pytest.mark.parametrize(
    "old", [dict(size_average=False), dict(reduce=False), dict(size_average=True, reduce=True), dict(size_average=True)]
)
def test_the_old_names_of_a_reduction(old):
    compare(torch.randn(ROWS, CLASSES), targets(), **old)


OTHER_FORMS = {
    "soft targets": ((ROWS, CLASSES), lambda shape: torch.rand(shape).softmax(-1)),
    "one row": ((CLASSES,), lambda shape: torch.tensor(3)),
    "one row, soft": ((CLASSES,), lambda shape: torch.rand(shape).softmax(-1)),
    "(N, C, d)": ((2, CLASSES, 5), lambda shape: torch.arange(10).view(2, 5)),
    "(N, C, d, e)": ((2, CLASSES, 3, 2), lambda shape: torch.arange(12).view(2, 3, 2)),
    "(N, C, d), soft": ((2, CLASSES, 5), lambda shape: torch.rand(shape).softmax(1)),
    "bytes": ((ROWS, CLASSES), lambda shape: torch.arange(ROWS, dtype=torch.uint8)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("form", OTHER_FORMS)
def test_other_forms_are_torchs(form, reduction, weighted, smoothing, dtype):
    shape, make = OTHER_FORMS[form]
    target = make(shape)
    target = target.to(dtype) if target.is_floating_point() else target
    weight = (torch.rand(CLASSES) + 0.5).to(dtype) if weighted else None
    if form == "bytes":
        smoothing = 0.0  # Torch has no smoothing of those.
    compare(torch.randn(shape, dtype=dtype), target, weight=weight, reduction=reduction, label_smoothing=smoothing)


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_the_module_takes_them_too(form):
    shape, make = OTHER_FORMS[form]
    compare(torch.randn(shape), make(shape), lambda x, y: LigerCrossEntropyLoss(label_smoothing=0.0)(x, y))


def test_rows_run_on_the_kernel():
    before = dict(launch_counts())
    compare(torch.randn(ROWS, CLASSES), targets())
    after = dict(launch_counts())
    assert any("CrossEntropy" in name and count > before.get(name, 0) for name, count in after.items())


@pytest.mark.parametrize(
    "option",
    [dict(softcap=3.0), dict(lse_square_scale=0.1), dict(return_z_loss=True), dict(return_token_accuracy=True)],
)
def test_an_option_of_ours_is_refused_for_other_forms(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: only for .N, V. logits"):
        liger_cross_entropy(torch.randn(2, CLASSES, 5), torch.zeros(2, 5, dtype=torch.long), **option)
