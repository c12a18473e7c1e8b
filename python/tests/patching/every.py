"""Every family's tiny model and batch, and its patch: what tests over all families are made of."""

import pytest
import torch

from liger_kernel.transformers.families import BY_MODEL_TYPE
from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from liger_kernel.transformers.monkey_patch import patch
from patching import multimodal
from patching import tiny

FUSED = dict(cross_entropy=False, fused_linear_cross_entropy=True)
# One of each kind of norm, gate, rotary embedding and head: what also runs on the oldest transformers.
SMOKE = {"llama", "gemma2", "mixtral", "granite", "glm4", "qwen2_5_vl", "qwen3_vl_moe", "gemma3", "llava"}
FAMILIES = [
    pytest.param(family, marks=[pytest.mark.smoke] if family in SMOKE else [])
    for family in (*tiny.TEXT_MODELS, *multimodal.MODELS)
]


def make(family, dtype=torch.float32):
    family, _, device = family.partition("-")
    if family in multimodal.MODELS:
        model, batch = multimodal.multimodal_model(family, dtype), multimodal.multimodal_batch(family, dtype=dtype)
    else:
        model, batch = tiny.text_model(family, dtype), tiny.text_batch()
    if not device:
        return model, batch
    return model.to(device), {name: value.to(device) for name, value in batch.items()}


def apply(model, **switches):
    return MODEL_TYPE_TO_APPLY_LIGER_FN[model.config.model_type](model=model, **switches)


def apply_to_classes(model, **switches):
    """Patches the classes of a model's family, with all of its switches on that have a kernel."""
    row = BY_MODEL_TYPE[model.config.model_type]
    return patch(row, {**row.flags, **switches})
