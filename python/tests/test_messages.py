"""Words of refusals that programs written for upstream match."""

import re

import pytest
import torch

from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss
from liger_kernel.ops import LigerFusedCETVDFunction
from liger_kernel.ops.rope import rope_forward
from liger_kernel.transformers.functional import liger_cross_entropy
from liger_kernel.transformers.grpo_loss import triton_grpo_loss

ROWS, CLASSES = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)
HEADS, ANGLES = torch.zeros(1, 2, 4, 64), torch.zeros(1, 4, 16)


def dpo(**options):
    return lambda: LigerFusedLinearDPOLoss(**options)


def grpo(loss_type):
    options = {"loss_type": loss_type, "importance_sampling_level": "sequence"}
    loss = LigerFusedLinearGRPOLoss(**options, use_ref_model=False, beta=0.0)
    ids = torch.zeros(2, 3, dtype=torch.int64)
    return lambda: loss(torch.zeros(2, 3, 8), torch.zeros(9, 8), ids, torch.ones(2, 3), torch.ones(2))


def grpo_of_logits(loss_type):
    ids = torch.zeros(2, 3, dtype=torch.int64)
    return lambda: triton_grpo_loss(
        torch.zeros(2, 4, 9), None, None, ids, torch.ones(2), beta=0.0, loss_type=loss_type,
        importance_sampling_level="sequence",
    )  # fmt: skip


def distance(student, teacher, target):
    return lambda: LigerFusedCETVDFunction.apply(student, teacher, target)


def rope(rotary_dim):
    return lambda: rope_forward(HEADS, HEADS, ANGLES, ANGLES, rotary_dim=rotary_dim)


SEQUENCE = "Sequence-level importance sampling is not supported"
ROBUST = "label_smoothing must lie in [0.0, 0.5) for loss_type='robust'"
REFUSALS = {
    "dpo-type": (dpo(loss_type="other"), ValueError, "Unsupported loss_type"),
    "dpo-exo": (dpo(loss_type="exo_pair"), ValueError, "label_smoothing must be > 0 for loss_type='exo_pair'"),
    "dpo-robust-high": (dpo(loss_type="robust", label_smoothing=0.5), ValueError, ROBUST),
    "dpo-robust-low": (dpo(loss_type="robust", label_smoothing=-0.1), ValueError, ROBUST),
    **{f"grpo-{name}": (grpo(name), ValueError, SEQUENCE) for name in ("cispo", "sapo", "vespo")},
    **{f"logits-{name}": (grpo_of_logits(name), ValueError, SEQUENCE) for name in ("cispo", "sapo", "vespo")},
    "grpo-type": (grpo_of_logits("other"), ValueError, "Unsupported loss_type"),
    "tvd-shapes": (distance(ROWS, torch.zeros(4, 9), CLASSES), ValueError, "same shape"),
    "tvd-dimensions": (distance(ROWS[None], ROWS[None], CLASSES), ValueError, "must be 2D"),
    "tvd-target": (distance(ROWS, ROWS, CLASSES[1:]), ValueError, "target must have shape"),
    "rope-odd": (rope(63), ValueError, "even"),
    "rope-wide": (rope(128), ValueError, "even"),
    "rope-narrow-angles": (rope(64), ValueError, "rotary_dim / 2"),
    "label": (lambda: liger_cross_entropy(ROWS, CLASSES + 8), AssertionError, "out of bounds"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_words(case):
    call, error, words = REFUSALS[case]
    with pytest.raises(error, match=re.escape(words)):
        call()
