"""Every family, patched, computes what it computed before: loss, logits, gradients, and 20 steps of training."""

import copy

import pytest
import torch
import transformers

from conftest import DEVICES

from liger_kernel.transformers.families import BY_MODEL_TYPE
from liger_kernel.transformers.monkey_patch import patch
from patching import multimodal
from patching import tiny
from patching.conftest import check_against
from patching.conftest import in_double
from patching.conftest import results
from patching.every import EVERY_KERNEL
from patching.every import FAMILIES
from patching.every import FUSED
from patching.every import SMOKE
from patching.every import apply
from patching.every import make

# Routers choose by comparing scores, and in bf16 a rounding can change the choice: these are compared in fp32.
ROUTED = {
    *("mixtral", "qwen3_moe", "qwen3_next", "gpt_oss", "hunyuan_v1_moe", "deepseek_v2", "deepseek_v3", "deepseek_v4"),
    *("qwen3_5_moe_text", "qwen3_5_moe", "qwen3_vl_moe", "glm4v_moe", "llama4_text", "llama4"),
}
# Scans whose bf16 form in transformers keeps fp32 states, so that float64 is no yardstick for the rest.
FP32_ONLY = ROUTED | {"falcon_h1"}
# The loss of these is taken from logits: a language model with a head of its own makes them inside the model.
LOSS_OF_LOGITS = {"llama4"}
OFF = {
    # Switched off by default, as it is upstream.
    "qwen3_vl": {"Qwen3VLTextMLP"},
    # Releases before 5 store these experts' weights transposed, and route to them in another way.
    "qwen3_vl_moe": {"Qwen3VLMoeTextExperts"} if transformers.__version__ < "5" else set(),
}
# The same ones run on a GPU where there is one.
ON_DEVICES = [
    *FAMILIES,
    *(pytest.param(f"{family}-{device}") for device in DEVICES if device != "cpu" for family in sorted(SMOKE)),
]


def expected_modules(model, skip=()):
    """Every module that a row of the table names, found without the code that patches."""
    row = BY_MODEL_TYPE[model.config.model_type]
    rows = [row, *(BY_MODEL_TYPE[name] for name in row.towers)]
    for name in row.tower_configs:
        rows += [BY_MODEL_TYPE[t] for t in [getattr(model.config, name).model_type] if t in BY_MODEL_TYPE]
    names = {n for r in rows for n in (*r.norms, *r.mlps, *r.experts)} - set(skip)
    if any(r.layer_norms for r in rows):
        names.add("LayerNorm")
    return {name for name, module in model.named_modules() if type(module).__name__ in names}


@pytest.mark.parametrize("family", ON_DEVICES)
def test_patched_instance_equals_unpatched(family):
    model, batch = make(family)
    plain = results(model, batch)
    exact = in_double(model, batch)
    before = expected_modules(model)
    receipt = apply(model, **FUSED)
    check_against(exact, plain, results(model, batch), torch.float32)
    off = OFF.get(family.partition("-")[0], set())
    bound = set(receipt.kernels) & {name for name, _ in model.named_modules()}
    wanted = {n for n in before if type(model.get_submodule(n)).__name__ not in off}
    assert bound >= wanted, f"not in the receipt: {sorted(wanted - bound)}"
    fused = receipt.kernels.get(type(model).__name__) == "LigerFusedLinearCrossEntropy"
    assert fused == (family not in LOSS_OF_LOGITS)


@pytest.mark.parametrize("family", [f for f in (*tiny.TEXT_MODELS, *multimodal.MODELS) if f not in FP32_ONLY])
def test_patched_instance_equals_unpatched_in_bf16(family):
    model, batch = make(family, torch.bfloat16)
    plain = results(model, batch)
    wide = {k: v.float() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in batch.items()}
    exact = in_double(model, wide)
    apply(model, **FUSED)
    check_against(exact, plain, results(model, batch), torch.bfloat16)


@pytest.mark.parametrize("family", FAMILIES)
def test_patched_classes_equal_unpatched(family):
    model, batch = make(family)
    plain = results(model, batch)
    exact = in_double(model, batch)
    row = BY_MODEL_TYPE[model.config.model_type]
    receipt = patch(row, {**row.flags, **FUSED})
    made = make(family)[0]
    made.load_state_dict(model.state_dict(), strict=False)
    missing = set(model.state_dict()) ^ set(made.state_dict())
    assert not missing, f"the patched classes have other parameters: {sorted(missing)}"
    check_against(exact, plain, results(made, batch), torch.float32)
    fused = any(name.endswith(type(model).__name__) for name in receipt.kernels)
    assert fused == (family not in LOSS_OF_LOGITS), "the loss forward is in the receipt"


@pytest.mark.parametrize("family", EVERY_KERNEL)
def test_twenty_steps_have_the_same_curve(family):
    # A choice of a router that a rounding turns would part the curves for good: shorter steps have none.
    rate = 1e-3 if family in ROUTED else 3e-3

    def curve(model):
        # Fused: one call for all parameters, where the loop over them takes as long as the model does.
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
        losses = []
        for _ in range(20):
            optimiser.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return torch.tensor(losses)

    model, batch = make(family)
    twin = copy.deepcopy(model)
    plain = curve(model)
    apply(twin, **FUSED)
    patched = curve(twin)
    assert plain[-1] < 0.7 * plain[0], "the model learns its batch"
    # AdamW divides by the gradient's size, so the noise of gradients near zero grows from step to step.
    worst = ((patched - plain).abs() / plain.abs()).max().item()
    assert worst < 2e-3, f"curves part by {worst:.1e}"
