"""Score centering against its definition in float64: over all classes at once."""

import pytest
import torch

from conftest import check_close
from conftest import random
from conftest import twin

from liger_kernel.ops import _memory
from liger_kernel.ops._layer_of_rows import LayerOfRows
from liger_kernel.transformers import ISCorrection
from liger_kernel.transformers import LigerFusedLinearScoreCenteringLoss
from liger_kernel.transformers.functional import liger_fused_linear_score_centering

B, T, H, V = 3, 5, 16, 37
CORRECTIONS = {
    "none": None,
    "unbounded": ISCorrection(),
    "tis": ISCorrection(high=1.2, outside="clamp"),
    "mis": ISCorrection(low=0.8, high=1.5),
    "clamped": ISCorrection(low=0.9, high=1.1, outside="clamp"),
    "ppo": ISCorrection(low=0.8, high=1.2, sign="ppo"),
    "dapo": ISCorrection(low=0.8, high=1.28, sign="ppo"),
    "clamped ppo": ISCorrection(low=0.8, high=1.28, outside="clamp", sign="ppo"),
}


def sample(device, dtype=torch.float32, k=6, has_bias=True, noise=0.4):
    """Arguments by name. Some sampled tokens are in the sampler's head, some outside; a quarter of all is masked."""
    made = {"_input": random(B, T, H, device=device, dtype=dtype)}
    made["weight"] = random(V, H, device=device, dtype=dtype, scale=0.5)
    made["bias"] = random(V, device=device, dtype=dtype, scale=0.5) if has_bias else None
    logits = made["_input"].detach().float() @ made["weight"].detach().float().T
    logits = logits if made["bias"] is None else logits + made["bias"].detach().float()
    log_q = torch.log_softmax(logits + noise * torch.randn(B, T, V).to(device), -1)
    made["selected_token_ids"] = torch.multinomial(log_q.exp().cpu().view(-1, V), 1).view(B, T).to(device)
    made["sampler_token_logps"] = log_q.gather(-1, made["selected_token_ids"][..., None])[..., 0]
    made["sampler_topk_logps"], made["sampler_topk_ids"] = log_q.topk(k)
    made["attention_mask"] = (torch.arange(B * T).view(B, T) % 4 != 1).long().to(device)
    made["advantages"] = torch.randn(B, T).to(device)
    return made


def weight_of_ratio(r, advantage, correction):
    """w(r), from its words."""
    if correction is None:
        return torch.ones_like(r)
    low, high = torch.full_like(r, correction.low), torch.full_like(r, correction.high)
    inside = (r >= low) & (r <= high)
    if correction.sign == "ppo":
        inside = r <= high if advantage >= 0 else (r >= low) & (r <= 3)
    outside = r.clamp(low, high) if correction.outside == "clamp" else torch.zeros_like(r)
    return torch.where(inside, r, outside)


def reference(s, score_center=True, correction=None, temperature=1.0, eps=1e-6, num_items_in_batch=None):
    """(loss, entropy, divergence, dropped) of all tokens' whole distributions."""
    logits = s["_input"] @ s["weight"].T + (0 if s["bias"] is None else s["bias"])
    losses, counts = [], []
    for b, t in s["attention_mask"].nonzero().tolist():
        log_p = torch.log_softmax(logits[b, t] / temperature, -1)
        p, token, head = log_p.detach().exp(), s["selected_token_ids"][b, t], s["sampler_topk_ids"][b, t]
        advantage = s["advantages"][b] if s["advantages"].dim() == 1 else s["advantages"][b, t]
        is_tail = torch.ones_like(p).index_fill_(0, head, 0)
        head_q = s["sampler_topk_logps"][b, t].double().exp()
        rho = (1 - head_q.sum()).clamp_min(0) / (p * is_tail).sum().clamp_min(eps)
        q = (rho * p).index_copy(0, head, head_q)
        w = weight_of_ratio(p[token] / s["sampler_token_logps"][b, t].double().exp(), advantage, correction)
        mass = torch.where(q == 0, 0, q * weight_of_ratio(p / q, advantage, correction))
        centre = (mass * log_p).sum() if score_center else 0
        losses.append(-advantage.double() * (w * log_p[token] - centre))
        divergence = torch.xlogy(head_q, head_q / p[head]).sum() + (1 - head_q.sum()) * rho.clamp_min(1e-9).log()
        counts.append(torch.stack([-(p * p.log()).sum(), divergence, (w == 0).double()]))
    total = len(losses) if num_items_in_batch is None else num_items_in_batch
    return sum(losses) / total, *(sum(counts) / len(counts))


def check(s, dtype=torch.float32, chunk_size=None, **options):
    twins = s | {name: twin(s[name]) for name in ("_input", "weight", "bias")}
    loss, metrics = liger_fused_linear_score_centering(**s, chunk_size=chunk_size, **options)
    expected, *others = reference(twins, **options)
    assert loss.dtype == torch.float32 and list(metrics) == ["entropy", "kl_head", "frac_masked"]
    check_close(loss, expected, torch.float32, what="loss", terms=[torch.ones(1)])
    for (name, found), wanted in zip(metrics.items(), others):
        assert not found.requires_grad
        check_close(found, wanted, torch.float32, what=name, terms=[torch.ones(1)])
    (loss * 3).backward()
    (expected * 3).backward()
    for name in ("_input", "weight", "bias"):
        if s[name] is not None:
            assert s[name].grad.dtype == s[name].dtype
            check_close(s[name].grad, twins[name].grad, dtype, what=f"gradient of {name}")
    return loss, metrics


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("chunk_size", [None, 4])
def test_types(device, dtype, has_bias, chunk_size):
    check(sample(device, dtype, has_bias=has_bias), dtype, chunk_size, correction=CORRECTIONS["mis"], temperature=0.7)


@pytest.mark.parametrize("score_center", [True, False])
@pytest.mark.parametrize("name", CORRECTIONS)
def test_corrections(device, name, score_center):
    correction = CORRECTIONS[name]
    _, metrics = check(sample(device), score_center=score_center, correction=correction)
    drops = correction is not None and correction.outside == "drop" and correction.high < float("inf")
    assert (metrics["frac_masked"].item() > 0) == drops


def test_advantages_of_answers_and_a_given_number_of_tokens(device):
    s = sample(device)
    check(s | {"advantages": s["advantages"][:, 0]}, num_items_in_batch=40, eps=0.5)


def test_a_head_of_all_classes(device):
    check(sample(device, k=V), correction=ISCorrection(high=2.0, outside="clamp"))


def test_masked_rows_count_for_nothing(device):
    s = sample(device)
    expected = liger_fused_linear_score_centering(**s)[0]
    dropped = s["attention_mask"] == 0
    poisoned = {name: t.detach().clone() for name, t in s.items()}
    for name in ("_input", "sampler_token_logps", "sampler_topk_logps", "advantages"):
        poisoned[name][dropped] = torch.nan
    for name in ("selected_token_ids", "sampler_topk_ids"):
        poisoned[name][dropped] = -100
    poisoned["_input"].requires_grad_()
    loss, _ = liger_fused_linear_score_centering(**poisoned)
    loss.backward()
    assert torch.equal(loss, expected)
    assert not poisoned["_input"].grad[dropped].any() and poisoned["_input"].grad[~dropped].isfinite().all()


@pytest.mark.parametrize("chunk_size, budget_bytes, largest", [(3, None, 3), (None, 4 * V * 2, 2), (None, None, 11)])
def test_logits_are_never_whole(device, monkeypatch, chunk_size, budget_bytes, largest):
    seen, logits = [], LayerOfRows.logits
    monkeypatch.setattr(LayerOfRows, "logits", lambda self, rows: seen.append(len(rows)) or logits(self, rows))
    monkeypatch.setattr(_memory, "_budget_bytes", budget_bytes)
    liger_fused_linear_score_centering(**sample(device), chunk_size=chunk_size)
    assert max(seen) == largest and sum(seen) == 11


def test_nothing_counts(device):
    s = sample(device)
    loss, metrics = liger_fused_linear_score_centering(**s | {"attention_mask": torch.zeros_like(s["attention_mask"])})
    loss.backward()
    assert [loss.item(), *(m.item() for m in metrics.values())] == [0] * 4
    assert all(s[name].grad is not None and not s[name].grad.any() for name in ("_input", "weight", "bias"))


@pytest.mark.parametrize("name", CORRECTIONS)
def test_a_sampler_that_rules_classes_out(device, name):
    s = sample(device)
    s["sampler_topk_logps"][..., -2:] = -torch.inf
    check(s, correction=CORRECTIONS[name])


@pytest.mark.parametrize("frozen", ["_input", "weight", "bias"])
def test_frozen_parts_and_a_second_pass(device, frozen):
    s = sample(device)
    s[frozen].requires_grad_(False)
    module = LigerFusedLinearScoreCenteringLoss(correction=CORRECTIONS["ppo"], chunk_size=3)
    assert "ISCorrection(low=0.8" in repr(module)
    given = {("lin_weight" if name == "weight" else name): t for name, t in s.items()}
    loss, _ = module(**given)
    leaves = [s[name] for name in ("_input", "weight", "bias") if name != frozen]
    first, second = (torch.autograd.grad(loss, leaves, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, first, second)) and s[frozen].grad is None
    with torch.no_grad():
        assert torch.equal(module(**given)[0], loss)


def results(function, s):
    """Loss, metrics and gradients of input, weight and bias."""
    leaves = [s[name] for name in ("_input", "weight", "bias")]
    loss, metrics = function(**{("lin_weight" if name == "weight" else name): t for name, t in s.items()})
    return loss.detach(), *metrics.values(), *torch.autograd.grad(loss, leaves)


def test_autocast(device):
    """Products in autocast's type, gradients in each tensor's own."""
    s = sample(device)
    module = LigerFusedLinearScoreCenteringLoss(correction=CORRECTIONS["mis"], temperature=0.7)
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        found = results(module, s)
    layer = {name: s[name].detach().bfloat16().requires_grad_() for name in ("_input", "weight", "bias")}
    wanted = results(module, s | layer)
    assert all(t.dtype == torch.float32 for t in found)
    assert all(torch.equal(a, b.float()) for a, b in zip(found, wanted, strict=True))
    assert not torch.equal(found[0], results(module, s)[0])


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled(device, dynamic):
    """The loss runs outside of the graph of what is before and behind it."""
    module = LigerFusedLinearScoreCenteringLoss(correction=CORRECTIONS["dapo"], chunk_size=4)

    def step(_input, **arguments):
        loss, metrics = module(_input * 2, **arguments)
        return loss * 1.5, metrics

    torch._dynamo.reset()
    compiled = torch.compile(step, backend="aot_eager", dynamic=dynamic)
    for k in (6, 3):
        s = sample(device, k=k)
        assert all(torch.equal(*pair) for pair in zip(results(step, s), results(compiled, s), strict=True))


@pytest.mark.parametrize(
    "error, message, options",
    [
        (AssertionError, "outside must be 'clamp' or 'drop'; found 'x'", {"correction": ISCorrection(outside="x")}),
        (AssertionError, "sign must be 'both' or 'ppo'; found 'x'", {"correction": ISCorrection(sign="x")}),
        (ValueError, "0 <= low <= high; found low 2 and high 1", {"correction": ISCorrection(2, 1)}),
        (AssertionError, "temperature may not be 0", {"temperature": 0}),
        (ValueError, "chunk_size must be a whole number of at least 1, or None; found 0", {"chunk_size": 0}),
        (ValueError, "_input must be .B, T, H.", {"_input": torch.zeros(T, H)}),
        (ValueError, "attention_mask must have shape .B, T.", {"attention_mask": torch.ones(B, T + 1)}),
        (ValueError, "sampler_topk_logps must have shape .B, T, k.", {"sampler_topk_logps": torch.zeros(B, T, 2)}),
        (ValueError, "advantages must have shape", {"advantages": torch.zeros(1, T)}),
        (ValueError, "selected_token_ids must be in .0, 37.", {"selected_token_ids": torch.full((B, T), V)}),
        (ValueError, "sampler_topk_ids must be in .0, 37.", {"sampler_topk_ids": torch.arange(-1, 5).expand(B, T, 6)}),
        (ValueError, "names a class of a token twice", {"sampler_topk_ids": torch.ones(B, T, 6, dtype=torch.int64)}),
    ],
)  # fmt: skip
def test_refusals(error, message, options):
    with pytest.raises(error, match=message):
        liger_fused_linear_score_centering(**sample("cpu") | options)
