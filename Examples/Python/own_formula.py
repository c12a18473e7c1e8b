"""A preference loss of your own: one method, differentiated by autograd, without the logits of a batch.

    python Examples/Python/own_formula.py
"""

import torch

from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss


class IPOLoss(LigerFusedLinearDPOLoss):
    """The squared distance of the margin from 1 / (2 beta) (Azar et al., 2023), for log-probabilities of answers."""

    def preference_loss_fn(self, chosen, rejected, full_target, ref_chosen_logps, ref_rejected_logps, beta, **options):
        margins = chosen - rejected - (ref_chosen_logps - ref_rejected_logps)
        pairs = len(full_target) // 2
        return (margins - 1 / (2 * beta)).square().sum() / pairs, beta * chosen, beta * rejected


torch.manual_seed(0)
head = torch.nn.Linear(64, 1000, bias=False)
hidden, reference = torch.randn(2, 4, 16, 64)  # two chosen answers, then two rejected ones, of 16 tokens each
labels = torch.randint(0, 1000, (4, 16))
loss, results = IPOLoss(beta=0.1)(head.weight, hidden, labels, ref_input=reference, ref_weight=head.weight)
loss.backward()

# The same in float64 with the logits of the whole batch. The reference is a constant.
weight = head.weight.detach().double().requires_grad_()
hidden, reference = hidden.double(), reference.double()


def answers(states, weight):
    return torch.log_softmax(states @ weight.T, dim=-1).gather(-1, labels[..., None]).sum((1, 2))


margins = answers(hidden, weight) - answers(reference, weight.detach())
expected = (margins[:2] - margins[2:] - 1 / 0.2).square().mean()
expected.backward()
largest = weight.grad.abs().max().item()
torch.testing.assert_close(loss.double(), expected.detach(), rtol=1e-5, atol=0)
torch.testing.assert_close(head.weight.grad.double(), weight.grad, rtol=0, atol=1e-5 * largest)
print(f"loss {loss.item():.6f}, as with whole logits")
