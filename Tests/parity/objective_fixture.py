"""Makes two tiny random Llamas and records how PyTorch trains one of them on preferences, or beside the other.

Usage: python objective_fixture.py OUTPUT_FOLDER

Writes `model` and `other` (checkpoints without a tokenizer: tokens are bytes), `pairs.jsonl`, `texts.jsonl`, `rated.jsonl` and
`expected.json`: for each objective the loss, the gradients' norm and the figures of some AdamW steps on all examples
at once. Formulas are written out as the papers have them, answer by answer and without padding.
"""

import json
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid, softmax
from transformers import LlamaConfig, LlamaForCausalLM

PAIRS = [
    ("What is two and two? ", "Four.", "It is five, or so they say."),
    ("Name a colour: ", "blue as the sea", "seven"),
    ("", "An answer without a prompt.", "Another one"),
    ("Is it late? ", "No", "Y"),
    ("Tell me more about the weather of the next days, please: ", "Rain, then sun.", "What weather?"),
]
OPTIMISER = dict(lr=2e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
STEPS, BETA, GAMMA, TEMPERATURE = 4, 0.1, 0.5, 2.0
DIVERGENCE, CLIP = 0.04, 0.2


def make_model(seed):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=256, hidden_size=48, intermediate_size=100, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, attn_implementation="eager", initializer_range=0.1)
    return LlamaForCausalLM(config)


def answer_logits(model, prompt, answer):
    """The logits that predict the answer's tokens, and those tokens; nothing predicts a sequence's first."""
    ids = torch.tensor([list((prompt + answer).encode())])
    first = max(len(prompt.encode()), 1)
    return model(input_ids=ids).logits[0, first - 1:-1], ids[0, first:]


def answer_logprobs(model, prompt, answer):
    logits, labels = answer_logits(model, prompt, answer)
    return log_softmax(logits, -1).gather(-1, labels[:, None])[:, 0]


def pair_loss(objective, model, other):
    chosen = [answer_logprobs(model, prompt, answer) for prompt, answer, _ in PAIRS]
    rejected = [answer_logprobs(model, prompt, answer) for prompt, _, answer in PAIRS]
    reduce = torch.mean if objective in ("simpo", "orpo") else torch.sum
    c, r = (torch.stack([reduce(tokens) for tokens in side]) for side in (chosen, rejected))
    nll = -torch.cat(chosen).mean()
    figures = {}
    if objective == "dpo":
        c = c - torch.stack([answer_logprobs(other, p, a).sum() for p, a, _ in PAIRS]).detach()
        r = r - torch.stack([answer_logprobs(other, p, a).sum() for p, _, a in PAIRS]).detach()
        loss = -logsigmoid(BETA * (c - r)).mean()
    elif objective == "simpo":
        loss = -logsigmoid(BETA * (c - r) - GAMMA).mean()
    elif objective == "cpo":
        loss = -logsigmoid(BETA * (c - r)).mean() + nll
    else:
        odds = (c - r) - (torch.log1p(-c.exp()) - torch.log1p(-r.exp()))
        loss = -BETA * logsigmoid(odds).mean() + nll
    if objective in ("cpo", "orpo"):
        figures["nll"] = nll.item()
    figures["chosen_reward"] = BETA * c.mean().item()
    figures["rejected_reward"] = BETA * r.mean().item()
    figures["reward_margin"] = BETA * (c - r).mean().item()
    figures["accuracy"] = (c > r).float().mean().item()
    return loss, figures


def distillation_loss(model, teacher):
    soft, hard = [], []
    for prompt, answer, _ in PAIRS:
        logits, labels = answer_logits(model, prompt, answer)
        with torch.no_grad():
            p = softmax(answer_logits(teacher, prompt, answer)[0] / TEMPERATURE, -1)
        q = softmax(logits / TEMPERATURE, -1)
        m = (p + q) / 2
        divergence = (p * (p.log() - m.log())).sum(-1) + (q * (q.log() - m.log())).sum(-1)
        soft.append(divergence / 2)
        hard.append(cross_entropy(logits, labels, reduction="none"))
    soft, hard = torch.cat(soft).mean(), torch.cat(hard).mean()
    return 0.75 * soft + 0.25 * hard, {"soft_loss": soft.item(), "hard_loss": hard.item()}


def rewards(index):
    return [1.0 + index, 0.5 - index % 2]


def reward_loss(model, other):
    """Ratios to the reference, and a mean over all answers' tokens, as in DAPO."""
    losses, divergences, cut = [], [], []
    for index, (prompt, *answers) in enumerate(PAIRS):
        group = torch.tensor(rewards(index), dtype=torch.float64)
        advantages = (group - group.mean()) / (group.std() + 1e-4)
        for answer, advantage in zip(answers, advantages.float()):
            now = answer_logprobs(model, prompt, answer)
            before = answer_logprobs(other, prompt, answer).detach()
            ratio = (now - before).exp()
            clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
            divergence = (before - now).exp() - (before - now) - 1
            losses.append(-torch.minimum(ratio * advantage, clipped * advantage) + DIVERGENCE * divergence)
            divergences.append(divergence)
            cut.append(torch.where(advantage > 0, ratio > 1 + CLIP, (ratio < 1 - CLIP) & (advantage < 0)))
    figures = dict(kl=torch.cat(divergences).mean().item(), clip_ratio=torch.cat(cut).float().mean().item())
    return torch.cat(losses).mean(), figures


def loss_of(objective, model, other):
    if objective == "distill":
        return distillation_loss(model, other)
    return reward_loss(model, other) if objective == "grpo" else pair_loss(objective, model, other)


def train(objective):
    model, other = make_model(1), make_model(2)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [dict(params=decayed), dict(params=others, weight_decay=0.0)], **OPTIMISER)
    steps = []
    for _ in range(STEPS):
        loss, figures = loss_of(objective, model, other)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        optimiser.step()
        steps.append(dict(loss=loss.item(), norm=norm.item(), figures=figures))
    return steps


def main(folder):
    torch.set_num_threads(1)
    make_model(1).save_pretrained(folder / "model")
    make_model(2).save_pretrained(folder / "other")
    pairs = [json.dumps(dict(prompt=p, chosen=c, rejected=r)) for p, c, r in PAIRS]
    texts = [json.dumps(dict(prompt=p, completion=c)) for p, c, _ in PAIRS]
    (folder / "pairs.jsonl").write_text("\n".join(pairs))
    (folder / "texts.jsonl").write_text("\n".join(texts))
    rated = [
        json.dumps(dict(prompt=p, completions=answers, rewards=rewards(i))) for i, (p, *answers) in enumerate(PAIRS)]
    (folder / "rated.jsonl").write_text("\n".join(rated))
    expected = {objective: train(objective) for objective in ("dpo", "cpo", "simpo", "orpo", "grpo", "distill")}
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
