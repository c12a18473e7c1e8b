"""Models of every family that classify: patched, they compute what they computed before."""

import pytest
import torch
import transformers

from patching.conftest import check_against
from patching.conftest import in_double
from patching.conftest import results
from patching.every import apply
from patching.every import make
from patching.tiny import randomised

LABELS = {
    "ForSequenceClassification": lambda labels: torch.arange(len(labels)) % 3,
    "ForTokenClassification": lambda labels: torch.where(labels < 0, labels, labels % 3),
}


# Those whose modeling file has such classes; the prefix of their names, where it is not that of the head alone.
FAMILIES = {
    **dict.fromkeys("llama smollm3 mistral ministral mixtral qwen2 qwen3 qwen3_moe qwen3_next gemma gemma2 phi3".split()),
    **dict.fromkeys("olmo2 olmo3 exaone4 glm4 gpt_oss hunyuan_v1_dense deepseek_v2 deepseek_v3 nemotron".split()),
    "qwen3_5_text": "Qwen3_5Text",
    "gemma3_text": "Gemma3Text",
    "gemma3": "Gemma3",
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_classifies_equals_the_unpatched(family, kind):
    base, batch = make(family)
    name = (FAMILIES[family] or type(base).__name__.partition("For")[0]) + kind
    if not hasattr(transformers, name):
        pytest.skip(f"transformers {transformers.__version__} has no {name}")
    base.config.num_labels, base.config.classifier_dropout = 3, 0.0
    if hasattr(base.config, "output_router_logits"):
        base.config.output_router_logits = False
    model = randomised(getattr(transformers, name)(base.config))
    batch["labels"] = LABELS[kind](batch["labels"])
    plain, exact = results(model, batch), in_double(model, batch)
    receipt = apply(model)
    assert receipt.kernels, str(receipt)
    check_against(exact, plain, results(model, batch), torch.float32)
