"""The base of a loss is a name of the loss's module too, as programs for upstream import it from there."""

import importlib

import pytest

BASES = {
    "LigerFusedLinearDistillationBase": ["cosine_similarity_loss", "fused_linear_distillation", "jsd_loss"],
    "LigerFusedLinearPPOBase": ["fused_linear_ppo", "grpo_loss"],
    "LigerFusedLinearPreferenceBase": ["cpo_loss", "dpo_loss", "fused_linear_preference", "orpo_loss", "simpo_loss"],
    "LigerFusedLinearUnpairedPreferenceBase": ["fused_linear_unpaired_preference", "kto_loss"],
}


@pytest.mark.parametrize("base, module", [(base, module) for base, modules in BASES.items() for module in modules])
def test_bases_are_found_beside_their_losses(base, module):
    found = getattr(importlib.import_module(f"liger_kernel.chunked_loss.{module}"), base)
    assert found.__name__ == base
