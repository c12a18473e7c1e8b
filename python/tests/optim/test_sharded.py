"""AdamW, and 8-bit products, of a model that is sharded over ranks by `fully_shard`, and the refusal under DDP."""

import textwrap

import pytest
import torch

from processes import run_ranks

pytest.importorskip("torch.distributed.fsdp", reason="no fully_shard")
NEEDS_FULLY_SHARD = pytest.mark.skipif(
    not hasattr(torch.distributed.fsdp, "fully_shard"), reason="this torch has no fully_shard"
)

MODEL = """
import copy
try:
    from torch.distributed.fsdp import fully_shard
except ImportError:  # Before torch 2.6.
    fully_shard = None
from torch.distributed.device_mesh import init_device_mesh
from liger_kernel.optim import AdamW

def make():
    torch.manual_seed(0)
    layers = [torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 64, bias=False)]
    return torch.nn.Sequential(*layers).to(device, torch.bfloat16)

def shard(model):
    mesh = init_device_mesh(device.type, (ranks,))
    for layer in model:
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)

# Both ranks have the same batch, so that gradients are those of one.
x = torch.randn(32, 64, generator=torch.Generator().manual_seed(1)).to(device, torch.bfloat16)

def train(model, optimizer, steps):
    for _ in range(steps):
        model(x).float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
"""


def run(script, folder):
    run_ranks(MODEL + textwrap.dedent(script), folder)


@NEEDS_FULLY_SHARD
@pytest.mark.parametrize("options", ["", "update_in_backward=True", "update_in_backward=True, max_norm=0.05"])
def test_shards_are_updated_like_the_whole(tmp_path, options):
    """Bit for bit, as shards are rows; but for a norm's sum, which has another order in shards."""
    script = f"""
    whole, sharded = make(), shard(make())
    # The ranks' gradients, which are the same, are averaged.
    world, dist.get_world_size = dist.get_world_size, lambda: 1
    alone = AdamW(whole.parameters(), lr=0.01, {options})
    train(whole, alone, 4)
    dist.get_world_size = world
    ours = AdamW(sharded.parameters(), lr=0.01, {options})
    train(sharded, ours, 4)
    for p, q in zip(sharded.parameters(), whole.parameters()):
        state = ours.state[p]
        assert state["exp_avg"].placements == p.placements
        assert (state["exp_avg"].dtype == torch.uint8) == (p.numel() == 8192), p.shape
        found = p.full_tensor()
        if {"max_norm" in options}:
            assert (found.float() - q.float()).abs().max() < 0.004
        else:
            assert torch.equal(found, q)
    """
    run(script, tmp_path)


@NEEDS_FULLY_SHARD
def test_a_sharded_run_resumes_with_the_same_bits(tmp_path):
    script = """
    whole = shard(make())
    train(whole, AdamW(whole.parameters(), lr=0.01), 4)
    model = shard(make())
    optimizer = AdamW(model.parameters(), lr=0.01)
    train(model, optimizer, 2)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    again = shard(make())
    again.load_state_dict(saved[0])
    resumed = AdamW(again.parameters(), lr=0.01)
    resumed.load_state_dict(saved[1])
    train(again, resumed, 2)
    for p, q in zip(again.parameters(), whole.parameters()):
        assert torch.equal(p.full_tensor(), q.full_tensor())
    """
    run(script, tmp_path)


def test_updates_in_backward_are_refused_under_ddp(tmp_path):
    script = """
    model = make().float()
    optimizer = AdamW(model.parameters(), update_in_backward=True)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    try:
        wrapped(x.float()).sum().backward()
    except RuntimeError as error:
        assert "DistributedDataParallel" in str(error), error
    else:
        raise AssertionError("was not refused")
    """
    run(script, tmp_path)


@NEEDS_FULLY_SHARD
def test_8_bit_products_of_sharded_weights(tmp_path):
    script = """
    from liger_kernel import fp8
    whole, sharded = make(), make()
    for model in (whole, sharded):
        fp8(model, emulate=device.type == "cpu")
    shard(sharded)
    for model in (whole, sharded):
        model(x).float().square().mean().backward()
    for p, q in zip(sharded.parameters(), whole.parameters()):
        assert torch.equal(p.grad.full_tensor(), q.grad)
    """
    run(script, tmp_path)
