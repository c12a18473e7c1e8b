"""Recomputation by budget on two ranks: gradients bit for bit those of gradient checkpointing, wrapped alike."""

import copy

import torch
import torch.distributed as dist
import transformers

from processes import run_ranks

from liger_kernel import recompute

SIZES = dict(
    vocab_size=101, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, use_cache=False,
)  # fmt: skip
BUDGETS = ("20KiB", "10MiB")


def ddp(model):
    return torch.nn.parallel.DistributedDataParallel(model)


def fsdp(model, parts=False):
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    blocks = {type(model.model.layers[0])} | ({type(model.model.layers[0].mlp)} if parts else set())
    return FullyShardedDataParallel(
        model, auto_wrap_policy=ModuleWrapPolicy(blocks), device_id=torch.device("cpu"), use_orig_params=True
    )


def fully_shard(model, parts=False):
    from torch.distributed.fsdp import fully_shard

    for block in model.model.layers:
        if parts:
            fully_shard(block.mlp)
        fully_shard(block)
    return fully_shard(model)


WRAPS = {
    "ddp": ddp,
    "fsdp": fsdp,
    "fsdp_parts": lambda model: fsdp(model, parts=True),
    "fully_shard": fully_shard,
    "fully_shard_parts": lambda model: fully_shard(model, parts=True),
}


def gradients(model, ids):
    model.zero_grad()
    model(input_ids=ids, labels=ids).loss.backward()
    grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [getattr(grad, "_local_tensor", grad).clone() for grad in grads]


def differing(wrap, rank, before=False):
    """Budgets whose gradients are not gradient checkpointing's. `before`: recompute is called before wrapping."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).train()
    ids = torch.randint(0, 101, (2, 9), generator=torch.Generator().manual_seed(rank))
    plain = copy.deepcopy(model)
    plain.gradient_checkpointing_enable({"use_reentrant": False})
    expected = gradients(WRAPS[wrap](plain), ids)
    found = []
    for budget in BUDGETS:
        copied = copy.deepcopy(model)
        # Ranks differ in what they keep.
        mine = budget if rank == 0 else "30KiB"
        if before:
            recomputation = recompute(copied, mine, verbose=False)
            wrapped = WRAPS[wrap](copied)
        else:
            wrapped = WRAPS[wrap](copied)
            recomputation = recompute(wrapped, mine, verbose=False)
        steps = [gradients(wrapped, ids) for _ in range(2)]
        if not all(len(s) == len(expected) and all(map(torch.equal, s, expected)) for s in steps):
            found.append(str(budget))
        if not recomputation.plan.kept_bytes:
            found.append(f"{budget} keeps nothing")
        dist.barrier()
    return found


def give_a_host():
    """Lets plans of this process keep results in a host's memory, which is the CPU's too. Returns what it counts."""
    from patching.test_hosted_results import HostOfTests

    from liger_kernel.recomputation import Recomputation

    host = HostOfTests()

    def _host_of(self, device):
        self.host = host
        return 1 << 30, 1e12

    Recomputation._host_of = _host_of
    return host


def test_gradients_are_those_of_gradient_checkpointing(tmp_path):
    """All in one pair of processes, as these take longer to start than to train. At last with memory of the host."""
    script = """
        from test_recomputation_on_ranks import WRAPS, differing, give_a_host

        kinds = [(wrap, False) for wrap in WRAPS] + [("fsdp", True), ("fully_shard", True)]
        found = {(wrap, before): differing(wrap, rank, before) for wrap, before in kinds}
        assert not any(found.values()), found
        host = give_a_host()
        for wrap in ("fsdp", "fully_shard_parts"):
            host.taken = 0
            found = differing(wrap, rank)
            assert not found and host.taken, (wrap, found, host.taken)
    """
    run_ranks(script, tmp_path)
