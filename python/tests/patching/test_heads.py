"""Heads that are adapted, wrapped, sharded or strange: the loss and gradients are those of the head as it is."""

import copy

import pytest
import torch
import torch.nn as nn

from processes import run_ranks

from liger_kernel.transformers.model import heads
from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
from patching import tiny
from patching.test_loss_forward import close
from patching.test_loss_forward import fused_calls  # noqa: F401


def same_training(plain, patched, batch, bound=3e-6):
    a, b = patched(**batch).loss, plain(**batch).loss
    a.backward()
    b.backward()
    close(a, b)
    gradients = {n: p.grad for n, p in plain.named_parameters() if p.grad is not None}
    found = {n: p.grad for n, p in patched.named_parameters() if p.grad is not None}
    assert set(found) == set(gradients)
    for name, gradient in gradients.items():
        close(found[name], gradient, bound)


def lora(model, **options):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=4, lora_alpha=12, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM", **options
    )
    torch.manual_seed(3)
    return peft.get_peft_model(model, config)


@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
def test_lora_on_the_head(family, fused_calls):  # noqa: F811
    peft = pytest.importorskip("peft")
    model = tiny.text_model(family, tie_word_embeddings=False)
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
    torch.manual_seed(3)
    plain = peft.get_peft_model(model, config).train()
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched.get_base_model(), fused_linear_cross_entropy=True, cross_entropy=False)
    batch = tiny.text_batch()
    same_training(plain, patched, batch)
    assert len(fused_calls) == 1
    adapter = patched.get_base_model().lm_head.lora_B["default"].weight
    assert adapter.grad is not None and bool(adapter.grad.any())
    with patched.disable_adapter(), plain.disable_adapter():
        close(patched(**batch).loss, plain(**batch).loss)
    patched.merge_adapter()
    plain.merge_adapter()
    close(patched(**batch).loss, plain(**batch).loss)


def test_lora_on_the_head_with_dropout_uses_the_same_mask():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False, lora_dropout=0.5)
    plain = peft.get_peft_model(tiny.text_model("llama"), config).train()
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched.get_base_model())
    losses = []
    for model in (plain, patched):
        torch.manual_seed(5)
        losses.append(model(**tiny.text_batch()).loss)
    close(*losses)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"lora_bias": True}])
def test_adapters_of_another_form_are_run(options, fused_calls):  # noqa: F811
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False, **options)
    plain = peft.get_peft_model(tiny.text_model("llama"), config).train()
    patched = copy.deepcopy(plain)
    receipt = _apply_liger_kernel_to_instance(patched.get_base_model())
    same_training(plain, patched, tiny.text_batch())
    assert not fused_calls
    if "use_dora" in options:
        assert "cannot be taken apart" in next(e.reason for e in receipt.entries if "CrossEntropy" in (e.kernel or ""))


def test_a_saved_copy_of_the_head_and_norm(fused_calls):  # noqa: F811
    model = tiny.text_model("llama", tie_word_embeddings=False)
    plain = lora(model, modules_to_save=["lm_head", "norm"]).train()
    patched = copy.deepcopy(plain)
    receipt = _apply_liger_kernel_to_instance(patched.get_base_model())
    with torch.no_grad():
        for m in (plain, patched):
            m.get_base_model().lm_head.modules_to_save["default"].weight.mul_(1.5)
            m.get_base_model().model.norm.modules_to_save["default"].weight.add_(0.3)
    same_training(plain, patched, tiny.text_batch())
    assert len(fused_calls) == 1
    assert receipt.kernels["model.norm.modules_to_save.default"] == "LigerRMSNorm"
    assert receipt.kernels["model.norm.original_module"] == "LigerRMSNorm"


def test_a_hook_on_the_head_sees_real_logits():
    plain = tiny.text_model("llama")
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    for model in (plain, patched):
        model.lm_head.register_forward_hook(lambda module, args, logits: 1.5 * logits)
    same_training(plain, patched, tiny.text_batch())


def test_a_head_that_is_more_than_linear_is_run():
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    plain = tiny.text_model("llama", tie_word_embeddings=False)
    plain.lm_head.__class__ = Scaled
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    same_training(plain, patched, tiny.text_batch())
    with pytest.raises(ValueError, match="use_token_scaling"):
        patched(**tiny.text_batch(), use_token_scaling=True)


def test_a_head_with_a_bias():
    plain = tiny.text_model("granite", tie_word_embeddings=False)
    plain.lm_head.bias = nn.Parameter(torch.randn(tiny.VOCABULARY))
    patched = copy.deepcopy(plain)
    _apply_liger_kernel_to_instance(patched, fused_linear_cross_entropy=True, cross_entropy=False)
    same_training(plain, patched, tiny.text_batch())


def test_a_head_in_another_dtype_than_the_body():
    plain = tiny.text_model("llama", tie_word_embeddings=False)
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    batch = tiny.text_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, found = plain(**batch).loss, patched(**batch).loss
    found.backward()
    assert patched.lm_head.weight.grad.dtype == torch.float32
    close(found, expected, 2e-2)


# Sharding. ZeRO-3 is imitated as its hooks do it: parameters are empty but within their module's call.


class Gathered:
    """Empties a linear layer's weight, and fills it around the layer's forward and backward."""

    def __init__(self, layer):
        self.layer, self.full, self.gathers = layer, layer.weight.data, 0
        layer.weight.ds_id = 1
        layer.weight.data = torch.empty(0)
        layer.register_forward_pre_hook(self.gather)
        layer.register_forward_hook(self.after)

    def gather(self, *_):
        self.gathers += 1
        self.layer.weight.data = self.full

    def after(self, module, args, output):
        if torch.is_tensor(output) and output.requires_grad:
            # Backward gathers again before the layer's gradients are taken, and releases after.
            output.register_hook(lambda gradient: self.gather())
        self.layer.weight.data = torch.empty(0)

    # Hooks of sharding are told from a user's by where they come from.
    gather.__module__ = after.__module__ = "deepspeed.runtime.zero.parameter_offload"


def test_a_head_that_zero3_gathers(fused_calls):  # noqa: F811
    plain = tiny.text_model("llama", tie_word_embeddings=False)
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    sharded = Gathered(patched.lm_head)
    batch = tiny.text_batch()
    a, b = patched(**batch).loss, plain(**batch).loss
    assert patched.lm_head.weight.numel() == 0, "released after the forward"
    a.backward()
    b.backward()
    close(a, b)
    close(patched.lm_head.weight.grad, plain.lm_head.weight.grad, 3e-6)
    close(patched.model.embed_tokens.weight.grad, plain.model.embed_tokens.weight.grad, 3e-6)
    assert len(fused_calls) == 1 and sharded.gathers == 2, "gathered once forward and once backward"
    assert "forward" not in patched.lm_head.__dict__


def test_a_head_that_accelerate_moves(fused_calls):  # noqa: F811
    accelerate = pytest.importorskip("accelerate")
    plain = tiny.text_model("llama", tie_word_embeddings=False)
    patched = copy.deepcopy(plain)
    apply_liger_kernel_to_llama(model=patched)
    accelerate.hooks.add_hook_to_module(
        patched.lm_head, accelerate.hooks.AlignDevicesHook(execution_device="cpu", offload=True)
    )
    assert patched.lm_head.weight.device.type == "meta"
    a, b = patched(**tiny.text_batch()).loss, plain(**tiny.text_batch()).loss
    close(a, b)
    assert len(fused_calls) == 1 and patched.lm_head.weight.device.type == "meta"


FSDP = """
import copy
from patching import tiny
from liger_kernel.transformers.monkey_patch import apply_liger_kernel_to_llama
way = sys.argv[4]
plain = tiny.text_model("llama", tie_word_embeddings=False).to(device)
model = copy.deepcopy(plain)
apply_liger_kernel_to_llama(model=model)
if way.startswith("fsdp2"):
    from torch.distributed.fsdp import fully_shard
    for layer in model.model.layers:
        fully_shard(layer)
    if way == "fsdp2-head":
        fully_shard(model.lm_head)
    fully_shard(model)
else:
    from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
    model.lm_head = FSDP(model.lm_head, use_orig_params=True, device_id=device)
    model = FSDP(model, use_orig_params=True, device_id=device)
batches = [{name: t.to(device) for name, t in tiny.text_batch(seed).items()} for seed in (1, 2)]
loss = model(**batches[rank]).loss
loss.backward()
expected = [plain(**b).loss for b in batches]
(sum(expected) / 2).backward()
error = abs(loss.item() - expected[rank].item()) / expected[rank].item()
assert error < 1e-6, f"loss {error}"
for name, parameter in plain.named_parameters():
    wanted = parameter.grad
    found = dict((n.replace("_fsdp_wrapped_module.", ""), p) for n, p in model.named_parameters())[name].grad
    if hasattr(found, "full_tensor"):
        found = found.full_tensor()
    else:
        # FSDP1 keeps this rank's slice of the flat gradient, which may cut a row.
        parts = [None, None]
        dist.all_gather_object(parts, torch.empty(0) if found is None else found.flatten().cpu())
        found = torch.cat(parts).reshape(wanted.shape).to(device)
    worst = ((found - wanted).abs().max() / wanted.abs().max()).item()
    assert worst < 1e-5, f"{name}: {worst}"
"""


# Every process has a GPU of its own.
@pytest.mark.parametrize("kind", ["cpu"] + (["cuda"] if torch.cuda.device_count() > 1 else []))
@pytest.mark.parametrize("way", ["fsdp2", "fsdp2-head", "fsdp1-head"])
def test_a_head_that_fsdp_shards(way, kind, tmp_path):
    run_ranks(FSDP, tmp_path, way, kind=kind)


def test_a_head_that_a_plan_splits_is_run():
    head = nn.Linear(8, 13, bias=False)
    assert heads.resolve(head) is head
    head._hf_tp_plan = "colwise_gather_output"
    assert heads.resolve(head) is None
