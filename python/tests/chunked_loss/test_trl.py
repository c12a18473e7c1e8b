"""TRL's trainers with their Liger switch against their own path, on tiny models; and the calls TRL has made."""

import copy

import pytest
import torch
import torch.nn.functional as F

from patching.conftest import modeling_modules  # noqa: F401
from patching.conftest import put_back  # noqa: F401 - the switch patches classes, which later tests want whole
from sequences import IGNORED

from liger_kernel import _library
from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearGRPOLoss
from liger_kernel.chunked_loss import LigerFusedLinearKTOLoss

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")

WORDS = "the cat dog sat ran on under a mat tree and saw red blue bird".split()


@pytest.fixture(scope="module")
def tokenizer():
    """A word a token."""
    from tokenizers import Tokenizer
    from tokenizers import models
    from tokenizers import pre_tokenizers

    names = ["<pad>", "<s>", "</s>", "<unk>", *WORDS]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def model(tokenizer, tmp_path_factory):
    """Stored, as GRPO's trainer reads its reference model from there."""
    torch.manual_seed(5)
    made = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
    )
    path = tmp_path_factory.mktemp("model")
    made.save_pretrained(path)
    return transformers.LlamaForCausalLM.from_pretrained(path)


def phrases(count, words=6):
    rng = torch.Generator().manual_seed(count)
    picks = torch.randint(len(WORDS), (count, words), generator=rng).tolist()
    return [" ".join(WORDS[i] for i in row) for row in picks]


PROMPTS, GOOD, BAD = phrases(4), phrases(5, 7)[:4], phrases(6, 4)[:4]


def dpo(model, tokenizer, options, peft_config=None):
    data = datasets.Dataset.from_dict({"prompt": PROMPTS, "chosen": GOOD, "rejected": BAD})
    arguments = trl.DPOConfig(beta=0.2, **options)
    reference = copy.deepcopy(model)
    with torch.no_grad():
        reference.lm_head.weight.mul_(0.9)
    return trl.DPOTrainer(
        model=model, ref_model=None if peft_config else reference, args=arguments, train_dataset=data,
        processing_class=tokenizer, peft_config=peft_config,
    )  # fmt: skip


def kto(model, tokenizer, options, peft_config=None):
    data = datasets.Dataset.from_dict(
        {"prompt": PROMPTS, "completion": GOOD, "label": [True, False, True, False]}
    )
    arguments = trl.KTOConfig(beta=0.2, **options)
    reference = copy.deepcopy(model)
    return trl.KTOTrainer(
        model=model, ref_model=None if peft_config else reference, args=arguments, train_dataset=data,
        processing_class=tokenizer, peft_config=peft_config,
    )  # fmt: skip


def grpo(model, tokenizer, options, peft_config=None):
    data = datasets.Dataset.from_dict({"prompt": PROMPTS})
    arguments = trl.GRPOConfig(beta=0.1, num_generations=2, max_completion_length=5, **options)

    def reward(completions, **_):
        return [float(len(set(text.split()))) + 0.1 * text.count("cat") for text in completions]

    return trl.GRPOTrainer(
        model=model, reward_funcs=reward, args=arguments, train_dataset=data, processing_class=tokenizer,
        peft_config=peft_config,
    )  # fmt: skip


def sft(model, tokenizer, options, peft_config=None):
    data = datasets.Dataset.from_dict({"text": GOOD})
    return trl.SFTTrainer(
        model=model, args=trl.SFTConfig(**options), train_dataset=data, processing_class=tokenizer,
        peft_config=peft_config,
    )  # fmt: skip


def logs(make, model, tokenizer, path, use_liger_kernel, device):
    torch.manual_seed(11)
    options = {
        "output_dir": str(path), "max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 1e-3,
        "logging_steps": 1, "report_to": "none", "use_cpu": device == "cpu", "bf16": False, "save_strategy": "no",
        "use_liger_kernel": use_liger_kernel, "gradient_checkpointing": False, "disable_tqdm": True,
    }  # fmt: skip
    trainer = make(copy.deepcopy(model), tokenizer, options)
    trainer.train()
    assert trainer.model.device.type == device
    return [{k: row[k] for k in ("loss", "grad_norm")} for row in trainer.state.log_history if "grad_norm" in row]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [dpo, kto, grpo, sft])
def test_trainers(make, model, tokenizer, tmp_path, device):
    plain = logs(make, model, tokenizer, tmp_path, False, device)
    before = sum(_library.launch_counts().values())
    fused = logs(make, model, tokenizer, tmp_path, True, device)
    assert sum(_library.launch_counts().values()) > before, "no kernel ran"
    assert len(plain) == len(fused) == 3
    for a, b in zip(plain, fused):
        for name in a:
            assert float(b[name]) == pytest.approx(float(a[name]), rel=1e-4, abs=1e-5), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("adapted", "checkpointing"), [(False, True), (False, False), (True, True)])
@pytest.mark.parametrize("make", [dpo, kto, grpo, sft])
def test_recomputation_by_budget(make, adapted, checkpointing, model, tokenizer, tmp_path, device):
    """Against the trainer's own run: trainers switch checkpointing off and on around a reference's passes."""
    from liger_kernel.transformers import LigerRecomputeCallback

    callback, rows = LigerRecomputeCallback("4MiB", verbose=False), []
    for callbacks in ([], [callback]):
        torch.manual_seed(11)
        options = {
            "output_dir": str(tmp_path), "max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 1e-3,
            "logging_steps": 1, "report_to": "none", "use_cpu": device == "cpu", "bf16": False, "save_strategy": "no",
            "gradient_checkpointing": checkpointing and bool(callbacks), "disable_tqdm": True,
        }  # fmt: skip
        adapter = None
        if adapted:
            peft = pytest.importorskip("peft")
            adapter = peft.LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
        trainer = make(copy.deepcopy(model), tokenizer, options, adapter)
        for each in callbacks:
            trainer.add_callback(each)
        trainer.train()
        rows.append([row for row in trainer.state.log_history if "grad_norm" in row])
    assert callback.recomputation.plan.kept_bytes > 0 and callback.recomputation.steps >= 3
    assert len(rows[0]) == 3
    for plain, recomputed in zip(*rows, strict=True):
        for name in ("loss", "grad_norm"):
            assert float(recomputed[name]) == pytest.approx(float(plain[name]), rel=1e-5, abs=1e-6), name


def orpo(model, tokenizer, options):
    """The switch is a class of this package here; the Hugging Face patch has nothing to do with it."""
    experimental = pytest.importorskip("trl.experimental.orpo")
    from liger_kernel.transformers.trainer import LigerORPOTrainer

    data = datasets.Dataset.from_dict({"prompt": PROMPTS, "chosen": GOOD, "rejected": BAD})
    made = LigerORPOTrainer if options.pop("use_liger_kernel") else experimental.ORPOTrainer
    arguments = experimental.ORPOConfig(beta=0.2, max_length=32, **options)
    return made(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("adapted", [False, True])
def test_orpo_trainer(model, tokenizer, tmp_path, device, adapted):
    """Loss, gradient's norm and every metric of TRL's, with and without LoRA on the head."""
    rows = []
    for use_liger_kernel in (False, True):
        torch.manual_seed(11)
        options = {
            "output_dir": str(tmp_path), "max_steps": 3, "per_device_train_batch_size": 2, "learning_rate": 1e-3,
            "logging_steps": 1, "report_to": "none", "use_cpu": device == "cpu", "bf16": False, "save_strategy": "no",
            "gradient_checkpointing": False, "disable_tqdm": True, "use_liger_kernel": use_liger_kernel,
        }  # fmt: skip
        policy = copy.deepcopy(model)
        if adapted:
            peft = pytest.importorskip("peft")
            targets = peft.LoraConfig(r=4, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
            policy = peft.get_peft_model(policy, targets)
        trainer = orpo(policy, tokenizer, options)
        before = _library.launch_counts().get("PairKernel", 0)
        trainer.train()
        assert (_library.launch_counts().get("PairKernel", 0) > before) == use_liger_kernel
        rows.append([row for row in trainer.state.log_history if "grad_norm" in row])
    assert len(rows[0]) == 3
    for plain, fused in zip(*rows, strict=True):
        assert {name for name in plain if "/" in name} <= set(fused)
        for name, value in plain.items():
            if name not in ("epoch", "learning_rate"):
                assert float(fused[name]) == pytest.approx(float(value), rel=2e-4, abs=2e-5), name


# How TRL up to 1.10 calls the losses, with its own formulas beside them.


@pytest.fixture(scope="module")
def hidden(model):
    ids = torch.randint(4, 19, (4, 9), generator=torch.Generator().manual_seed(3))
    return model.model(ids).last_hidden_state.detach(), ids


def token_log_probabilities(model, states, ids):
    return model.lm_head(states).log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1)


def completions(ids, prompt=3):
    labels = ids[:, 1:].clone()
    labels[:, :prompt] = IGNORED
    return labels, labels != IGNORED


def test_dpo_call(model, hidden):
    states, ids = hidden
    labels, mask = completions(ids)
    loss = LigerFusedLinearDPOLoss(beta=0.2, loss_type="sigmoid")
    reference = states[:, :-1] * 0.9
    found, (chosen, rejected, chosen_logits, rejected_logits, nll, good, bad) = loss(
        model.lm_head.weight, states[:, :-1], labels, None, reference, model.lm_head.weight, None
    )
    own = (token_log_probabilities(model, states[:, :-1], ids[:, 1:]) * mask).sum(-1)
    others = (token_log_probabilities(model, reference, ids[:, 1:]) * mask).sum(-1)
    ratio = 0.2 * (own - others)
    torch.testing.assert_close(found, -F.logsigmoid(ratio[:2] - ratio[2:]).mean())
    torch.testing.assert_close(torch.cat([chosen, rejected]), own)
    torch.testing.assert_close(torch.cat([good, bad]), ratio, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(chosen_logits, model.lm_head(states[:2, :-1]).mean(), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(rejected_logits, model.lm_head(states[2:, :-1]).mean(), atol=1e-6, rtol=1e-4)
    assert nll.item() == 0


def test_kto_call(model, hidden):
    states, ids = hidden
    labels, mask = completions(ids)
    good, kl = torch.tensor([True, False, True, False]), torch.tensor(0.05)
    loss = LigerFusedLinearKTOLoss(beta=0.2, use_ref_model=True)
    found, (chosen, rejected, _, _, chosen_rewards, rejected_rewards) = loss(
        _input=states[:, :-1], lin_weight=model.lm_head.weight, target=labels, bias=None, preference_labels=good,
        ref_input=states[:, :-1] * 0.9, ref_weight=model.lm_head.weight, ref_bias=None, kl=kl,
    )  # fmt: skip
    own = (token_log_probabilities(model, states[:, :-1], ids[:, 1:]) * mask).sum(-1)
    ratio = own - (token_log_probabilities(model, states[:, :-1] * 0.9, ids[:, 1:]) * mask).sum(-1)
    wanted = torch.where(good, 1 - torch.sigmoid(0.2 * (ratio - kl)), 1 - torch.sigmoid(0.2 * (kl - ratio))).mean()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.stack([chosen, rejected]), torch.stack([own[good].sum(), own[~good].sum()]))
    rewards = torch.stack([0.2 * ratio[good].sum(), 0.2 * ratio[~good].sum()])
    torch.testing.assert_close(torch.stack([chosen_rewards, rejected_rewards]), rewards, atol=1e-5, rtol=1e-4)


def test_grpo_call(model, hidden):
    states, ids = hidden
    mask, advantages = torch.ones(4, 5, dtype=torch.long), torch.tensor([1.0, -1.0, 0.5, -0.5])
    mask[1, 3:] = 0
    own = token_log_probabilities(model, states[:, 3:-1], ids[:, 4:]).detach()
    loss = LigerFusedLinearGRPOLoss(
        beta=0.1, epsilon_low=0.2, epsilon_high=0.2, temperature=1.0, use_ref_model=True, loss_type="dapo",
        max_completion_length=5, importance_sampling_level="token", delta=None, use_bias_correction_kl=False,
        sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0,
        vespo_lambda_neg=2.0,
    )  # fmt: skip
    found, metrics = loss(
        _input=states[:, 3:-1], lin_weight=model.lm_head.weight, selected_token_ids=ids[:, 4:], attention_mask=mask,
        advantages=advantages, bias=None, old_per_token_logps=own - 0.1, ref_per_token_logps=own + 0.2,
        vllm_is_ratio=None,
    )  # fmt: skip
    ratio, k = torch.tensor(0.1).exp(), torch.tensor(0.2).exp() - 1.2
    wanted = ((-ratio * advantages[:, None] + 0.1 * k) * mask).sum() / mask.sum()
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(metrics[0], k, atol=1e-5, rtol=1e-4)
    assert len(metrics) == 2 and metrics[-1].item() == 0
