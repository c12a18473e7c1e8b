"""Every family's tiny model and batch, and its patch: what tests over all families are made of."""

import pytest
import torch

from liger_kernel.transformers.families import BY_MODEL_TYPE
from liger_kernel.transformers.families import BY_NAME
from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
from liger_kernel.transformers.monkey_patch import patch
from patching import multimodal
from patching import tiny

FUSED = dict(cross_entropy=False, fused_linear_cross_entropy=True)
# One of each kind of norm, gate, rotary embedding and head: what also runs on the oldest transformers.
SMOKE = {"llama", "gemma2", "mixtral", "granite", "glm4", "qwen2_5_vl", "qwen3_vl_moe", "gemma3", "llava"}
NAMES = (*tiny.TEXT_MODELS, *multimodal.MODELS)


def kernels_of(family):
    """The kernels that the rows of a family name, with their settings, and the ways in which its parts are found."""
    model_type = tiny.TEXT_MODELS[family][0] if family in tiny.TEXT_MODELS else family
    row = BY_MODEL_TYPE[model_type]
    found = {name for name in ("experts", "layer_norms", "towers", "tower_configs") if getattr(row, name)}
    for part in (row, *(BY_NAME[name] for name in row.towers)):
        found |= {*part.norms.values(), *part.mlps.values(), *part.rope.values(), *part.activations.values()}
    return found | {name for _, name in row.heads.values()}


def covering():
    """SMOKE, and each family after that with a kernel which none before it has."""
    chosen, seen = [], set()
    for family in sorted(NAMES, key=lambda name: name not in SMOKE):
        if family in SMOKE or kernels_of(family) - seen:
            chosen.append(family)
            seen |= kernels_of(family)
    return chosen


def cases(families):
    return [pytest.param(family, marks=[pytest.mark.smoke] if family in SMOKE else []) for family in families]


FAMILIES = cases(NAMES)
# For what is done to a bound module by its kernel alone, whichever class it was: copies, hooks, other dtypes, and
# what is kept from step to step. A family's classes themselves, and their values and gradients, are FAMILIES' part.
EVERY_KERNEL = cases(covering())


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
