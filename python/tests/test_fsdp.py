"""`transformers.fsdp`: a method of a sharded module run where its weights are unsharded."""

import pytest
import torch

from processes import run_ranks

from liger_kernel.transformers.fsdp import _FSDPForwardRedirection

SCRIPT = """
import copy
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss
from liger_kernel.transformers.fsdp import _FSDPForwardRedirection

torch.manual_seed(0)
plain = torch.nn.Linear(8, 13)
wrapped = FSDP(copy.deepcopy(plain).to(device), use_orig_params=True, device_id=device)
rows, target = torch.randn(2, 5, 8).to(device), torch.randint(0, 13, (2, 5)).to(device)
calls = []

def loss_of(rows, target, scale=1.0):
    head = wrapped.module
    assert head.weight.shape == (13, 8), head.weight.shape
    # The real forward is back by now.
    calls.append(head(rows).shape)
    return scale * LigerFusedLinearCrossEntropyLoss()(head.weight, rows, target, head.bias)

loss = _FSDPForwardRedirection()(wrapped, loss_of, rows[rank], target[rank], scale=2.0)
loss.backward()
expected = [2 * torch.nn.functional.cross_entropy(plain.to(device)(r), t) for r, t in zip(rows, target)]
(sum(expected) / ranks).backward()
assert abs(loss.item() - expected[rank].item()) < 1e-5 and calls == [(5, 13)]
assert "forward" not in wrapped.module.__dict__
parts = [None] * ranks
mine = [p.grad for p in wrapped.parameters()]
dist.all_gather_object(parts, torch.cat([g.flatten().cpu() for g in mine if g is not None]))
wanted = torch.cat([plain.weight.grad.flatten(), plain.bias.grad]).cpu()
assert (torch.cat(parts) - wanted).abs().max() < 1e-5

def fails(*_):
    raise KeyError("inside")

try:
    _FSDPForwardRedirection()(wrapped, fails, rows[rank])
except KeyError:
    assert "forward" not in wrapped.module.__dict__
else:
    raise AssertionError("the method was not called")
"""


@pytest.mark.parametrize("kind", ["cpu"] + (["cuda"] if torch.cuda.device_count() > 1 else []))
def test_a_method_runs_with_unsharded_weights(tmp_path, kind):
    run_ranks(SCRIPT, tmp_path, kind=kind)


def test_a_module_that_is_not_wrapped_is_refused():
    with pytest.raises(AssertionError, match="must be a FullyShardedDataParallel; found Linear"):
        _FSDPForwardRedirection()(torch.nn.Linear(2, 2), print)
