"""A Llama that a plan spreads over ranks, its head too: the patched model's loss and gradients are the plain one's."""

import pytest
import transformers

from processes import run_ranks

from liger_kernel import _versions

SCRIPT = """
import transformers
from liger_kernel.transformers import apply_liger_kernel_to_llama
from liger_kernel.transformers.model import parallel
from patching import tiny

def model(**options):
    return transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)

folder = sys.argv[4]
torch.manual_seed(0)
made = tiny.text_model("llama", tie_word_embeddings=False, vocab_size=64)
if rank == 0:
    made.save_pretrained(folder)
dist.barrier()
plan = transformers.distributed.DistributedConfig(tp_plan="auto", tp_size=ranks)
plain, spread = model().train(), model(distributed_config=plan).train()
receipt = apply_liger_kernel_to_llama(model=spread, strict=True)
calls = []
loss_of = parallel.causal_loss
parallel.causal_loss = lambda *a, **k: calls.append(1) or loss_of(*a, **k)
batch = tiny.text_batch()
labels = batch["labels"] % 64
labels[0, :2] = -100
batch = {**batch, "input_ids": batch["input_ids"] % 64, "labels": labels}
for options in ({}, {"num_items_in_batch": 7}, {"num_items_in_batch": torch.tensor(5)}, {"label_smoothing": 0.1}):
    if "label_smoothing" in options:
        logits = plain(**batch).logits
        wanted = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), **options)
    else:
        wanted = plain(**batch, **options).loss
    found = spread(**batch, **options).loss
    assert abs(found - wanted) < 1e-6 * wanted, (options, found, wanted)
    for each, loss in ((plain, wanted), (spread, found)):
        each.zero_grad()
        loss.backward()
    for (name, a), b in zip(spread.named_parameters(), plain.parameters(), strict=True):
        gradient = a.grad.full_tensor() if hasattr(a.grad, "full_tensor") else a.grad
        worst = ((gradient - b.grad).abs().max() / b.grad.abs().max()).item()
        assert worst < 2e-5, (options, name, worst)
assert len(calls) == 3, f"{len(calls)}: the last has an option that takes whole rows of logits"
assert spread(**batch, return_token_accuracy=True).token_accuracy is not None and len(calls) == 3
with torch.no_grad():
    assert torch.allclose(spread(input_ids=batch["input_ids"]).logits, plain(input_ids=batch["input_ids"]).logits, atol=1e-5)
assert spread(**{**batch, "labels": torch.full_like(labels, -100)}).loss == 0
"""

# Adapters on spread layers, the patched model against the same one unpatched. On layers whose inputs are spread, and on the
# head, PEFT 0.21 cannot run the unpatched one.
ADAPTED = """
import peft
import transformers
from liger_kernel.transformers import apply_liger_kernel_to_llama
from patching import tiny

folder = sys.argv[4]
torch.manual_seed(0)
if rank == 0:
    tiny.text_model("llama", tie_word_embeddings=False, vocab_size=64).save_pretrained(folder)
dist.barrier()
plan = transformers.distributed.DistributedConfig(tp_plan="auto", tp_size=ranks)

def adapted(targets):
    base = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, distributed_config=plan)
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=targets, init_lora_weights=False, lora_dropout=0.0)
    return peft.get_peft_model(base.train(), config)

batch = {name: each % 64 for name, each in tiny.text_batch().items()}
batch["attention_mask"] = torch.ones_like(batch["input_ids"])
batch["labels"][0, :2] = -100
for targets in (["q_proj", "v_proj"], ["k_proj", "gate_proj", "up_proj"]):
    plain, patched = adapted(targets), adapted(targets)
    apply_liger_kernel_to_llama(model=patched, strict=True)
    wanted, found = plain(**batch).loss, patched(**batch).loss
    assert abs(found - wanted) < 1e-6 * wanted, (targets, found, wanted)
    wanted.backward(), found.backward()
    trained = [(name, p) for name, p in patched.named_parameters() if p.requires_grad]
    expected = [p for p in plain.parameters() if p.requires_grad]
    assert len(trained) == len(expected) > 0
    for (name, a), b in zip(trained, expected):
        a, b = (each.grad.full_tensor() if hasattr(each.grad, "full_tensor") else each.grad for each in (a, b))
        assert ((a - b).abs().max() / b.abs().max()).item() < 2e-5, (targets, name)
"""


def test_adapters_beside_a_spread_head(tmp_path):
    peft = pytest.importorskip("peft")
    if _versions.is_before("5.17", transformers.__version__) or _versions.is_before("0.21", peft.__version__):
        pytest.skip("PEFT adapted no layers that a plan spreads before")
    run_ranks(ADAPTED, tmp_path, str(tmp_path / "model"))


@pytest.mark.skipif(_versions.is_before("5.17", transformers.__version__), reason="weights were no DTensors before")
def test_a_spread_head(tmp_path):
    run_ranks(SCRIPT, tmp_path, str(tmp_path / "model"))
