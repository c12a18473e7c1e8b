"""Losses of a linear layer whose tensors are distributed: whole ones' values, and gradients distributed as they are."""

import pytest
import torch

from processes import run_ranks

from liger_kernel import _versions

SCRIPT = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss, LigerFusedLinearGRPOLoss, LigerFusedLinearJSDLoss
from liger_kernel.chunked_loss import LigerFusedLinearKTOLoss
from liger_kernel.ops import LigerFusedLinearKLDivFunction
from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss, LigerFusedLinearScoreCenteringLoss
from liger_kernel.transformers.functional import liger_fused_linear_scaled_cross_entropy

B, T, H, V, k = 4, 3, 8, 14, 5
torch.manual_seed(0)
layer = {"input": torch.randn(B, T, H), "weight": torch.randn(V, H), "bias": torch.randn(V)}
ids, mask, advantages = torch.randint(V, (B, T)), torch.ones(B, T), torch.randn(B)
log_q = torch.randn(B, T, V).log_softmax(-1)
top, top_ids = log_q.topk(k)
teacher = torch.randn(B * T, V).softmax(-1)
rows = lambda t: t.reshape(B * T, H)

LOSSES = {
    "cross entropy": lambda x, w, b: LigerFusedLinearCrossEntropyLoss()(w, rows(x), ids.flatten(), b),
    "scaled cross entropy": lambda x, w, b: liger_fused_linear_scaled_cross_entropy(rows(x), w, ids.flatten())[0].sum(),
    "kl": lambda x, w, b: LigerFusedLinearKLDivFunction.apply(rows(x), w, teacher),
    "dpo": lambda x, w, b: LigerFusedLinearDPOLoss(use_ref_model=False)(w, x, ids, b)[0],
    "kto": lambda x, w, b: LigerFusedLinearKTOLoss(use_ref_model=False)(x, w, ids, b, advantages > 0)[0],
    "grpo": lambda x, w, b: LigerFusedLinearGRPOLoss(beta=0.0, use_ref_model=False)(x, w, ids, mask, advantages, b)[0],
    "distillation": lambda x, w, b: LigerFusedLinearJSDLoss()(rows(x), w, layer["input"].reshape(-1, H),
        layer["weight"] * 0.5, ids.flatten(), b, layer["bias"]),
    "score centering": lambda x, w, b: LigerFusedLinearScoreCenteringLoss(chunk_size=5)(
        x, w, ids, mask, advantages, log_q.gather(-1, ids[..., None])[..., 0], top_ids, top, b,
        num_items_in_batch=mask.sum() * ranks)[0],
}
mesh = init_device_mesh("cpu", (ranks,))

def check(name, loss_of):
    whole = [t.clone().requires_grad_() for t in layer.values()]
    expected = loss_of(*whole)
    expected.backward()
    for places in ([None, Shard(0), Shard(0)], [Replicate(), Shard(1), Replicate()], [Shard(0), Replicate(), None]):
        given = [
            t.clone() if place is None else distribute_tensor(t, mesh, [place])
            for t, place in zip(layer.values(), places)
        ]
        # Some results of operations, as in a model, and some leaves.
        leaves = [t.requires_grad_() for t in given]
        found = loss_of(*(leaf * 1.0 if place == Replicate() else leaf for leaf, place in zip(leaves, places)))
        assert torch.equal(found, expected), (name, places, found, expected)
        found.backward()
        for leaf, place, wanted in zip(leaves, places, whole):
            if wanted.grad is None:
                assert leaf.grad is None
                continue
            assert isinstance(leaf.grad, DTensor) == (place is not None), (name, places, type(leaf.grad))
            gradient = leaf.grad
            if place is not None:
                assert gradient.placements == (place,), (name, gradient.placements, place)
                gradient = gradient.full_tensor()
            assert torch.equal(gradient, wanted.grad), (name, places, place)

for name, loss_of in LOSSES.items():
    check(name, loss_of)
"""


@pytest.mark.skipif(_versions.is_before("2.5", torch.__version__), reason="distributed tensors are private")
def test_gradients_are_distributed_as_tensors_are(tmp_path):
    run_ranks(SCRIPT, tmp_path)
