"""A Llama of random weights on several ranks, patched and not: losses of some steps under each way to spread it.

Usage: torchrun --nproc-per-node 2 Benchmarks/ranks.py [--device cuda] [--steps N] [--hidden N] [--vocabulary N]
       [--ways WAY ...] [--head NxHxV]

Ways: `tp_plan="auto"` (the head too), DDP, FSDP1, FSDP2, ZeRO-1 of torch (`ZeroRedundancyOptimizer`), and with DeepSpeed
ZeRO-2 and ZeRO-3; each with all weights and with LoRA, in fp32. Ranks have their own data, but under `tp_plan`. Prints a
Markdown table: the first and last loss of the plain model, and by how much losses of the patched one differ at most.

--head times a linear layer with cross entropy and its gradients on one GPU, and on all, which share its classes, in turns.
"""

import argparse
import functools
import os
import statistics
import tempfile
import time

import torch
import torch.distributed as dist


def build(arguments):
    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    size = arguments.hidden
    config = LlamaConfig(
        vocab_size=arguments.vocabulary, hidden_size=size, intermediate_size=3 * size, num_hidden_layers=2,
        num_attention_heads=8, num_key_value_heads=4, tie_word_embeddings=False)  # fmt: skip
    config.use_cache = False
    return LlamaForCausalLM(config)


def adapted(model):
    from peft import LoraConfig
    from peft import get_peft_model

    torch.manual_seed(1)
    return get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj", "up_proj"], lora_dropout=0.0))


def adam(parameters, **options):
    return torch.optim.AdamW([p for p in parameters if p.requires_grad], lr=1e-3, **options)


def layers_of(model):
    return next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))


def with_ddp(model, device):
    model = torch.nn.parallel.DistributedDataParallel(model.to(device))
    return model, adam(model.parameters())


def with_zero1(model, device):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = torch.nn.parallel.DistributedDataParallel(model.to(device))
    trained = [p for p in model.parameters() if p.requires_grad]
    return model, ZeroRedundancyOptimizer(trained, optimizer_class=torch.optim.AdamW, lr=1e-3)


def with_fsdp1(model, device):
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    policy = functools.partial(transformer_auto_wrap_policy, transformer_layer_cls={type(layers_of(model)[0])})
    model = FullyShardedDataParallel(
        model.to(device), auto_wrap_policy=policy, use_orig_params=True, device_id=device)  # fmt: skip
    return model, adam(model.parameters())


def with_fsdp2(model, device):
    from torch.distributed.fsdp import fully_shard

    model.to(device)
    for layer in layers_of(model):
        fully_shard(layer)
    fully_shard(model)
    return model, adam(model.parameters())


def with_deepspeed(model, device, stage):
    import deepspeed

    settings = {
        "train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": stage},
        "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}},
    }  # fmt: skip
    trained = [p for p in model.parameters() if p.requires_grad]
    engine, optimizer, _, _ = deepspeed.initialize(model=model, model_parameters=trained, config=settings)
    return engine, None


WAYS = {
    "DDP": with_ddp, "FSDP1": with_fsdp1, "FSDP2": with_fsdp2, "ZeRO-1": with_zero1,
    "ZeRO-2": functools.partial(with_deepspeed, stage=2), "ZeRO-3": functools.partial(with_deepspeed, stage=3),
}  # fmt: skip


def train(model, optimizer, batches):
    losses = []
    for ids in batches:
        loss = model(input_ids=ids, labels=ids).loss
        if optimizer is None:
            model.backward(loss)
            model.step()
        else:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        loss = loss.detach().double()
        dist.all_reduce(loss)
        losses.append((loss / dist.get_world_size()).item())
    return losses


def losses_of(way, arguments, device, folder, patches, adapts):
    from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance

    if way == "tp_plan":
        from transformers import LlamaForCausalLM
        from transformers.distributed import DistributedConfig

        plan = DistributedConfig(tp_plan="auto", tp_size=dist.get_world_size())
        model = LlamaForCausalLM.from_pretrained(folder, distributed_config=plan, dtype=torch.float32)
        model.config.use_cache = False
    else:
        model = build(arguments)
    model.train()
    if adapts:
        model = adapted(model)
    if patches:
        _apply_liger_kernel_to_instance(model)
    seed = 2 if way == "tp_plan" else 2 + dist.get_rank()
    generator = torch.Generator().manual_seed(seed)
    batches = [
        torch.randint(arguments.vocabulary, (4, 128), generator=generator).to(device) for _ in range(arguments.steps)
    ]
    if way == "tp_plan":
        # Of distributed tensors and others together torch has no one launch.
        optimizer = adam(model.to(device).parameters(), foreach=False)
    else:
        model, optimizer = WAYS[way](model, device)
    return train(model, optimizer, batches)


def compare(arguments, device, folder):
    show("| way | trained | first loss | last | patched: differs by at most, relative |\n|---|---|---:|---:|---:|")
    for way in arguments.ways:
        for adapts in (False, True):
            what = f"| {way} | {'LoRA' if adapts else 'all'} |"
            try:
                plain, patched = (losses_of(way, arguments, device, folder, side, adapts) for side in (False, True))
            except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
                show(f"{what} not run: {str(error).splitlines()[0][:160]} | | |")
                continue
            worst = max(abs(a - b) / abs(a) for a, b in zip(plain, patched, strict=True))
            show(f"{what} {plain[0]:.6f} | {plain[-1]:.6f} | {worst:.1e} |")


def time_head(sizes, device):
    """Medians of one GPU's time and of that of all, which share the classes."""
    from liger_kernel.ops._parallel_cross_entropy import ParallelLinearCrossEntropy
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    tokens, hidden, classes = sizes
    torch.manual_seed(0)
    x = torch.randn(tokens, hidden, device=device, dtype=torch.bfloat16)
    weight = 0.02 * torch.randn(classes, hidden, device=device, dtype=torch.bfloat16)
    target = torch.arange(tokens, device=device) * 7919 % classes
    x.requires_grad_()
    whole, own = weight.requires_grad_(), weight.detach().chunk(dist.get_world_size())[dist.get_rank()]
    own, count = own.clone().requires_grad_(), torch.tensor(float(tokens), device=device)

    def shared():
        return ParallelLinearCrossEntropy.apply(x, own, target, count, -100, dist.group.WORLD)

    ways, gradients, times = {"one": lambda: LigerFusedLinearCrossEntropyLoss()(whole, x, target), "all": shared}, {}, {}
    for turn in range(9):
        for name, way in ways.items():
            dist.barrier()
            torch.cuda.synchronize()
            start = time.perf_counter()
            x.grad = whole.grad = own.grad = None
            loss = way()
            loss.backward()
            torch.cuda.synchronize()
            if turn > 1:
                times.setdefault(name, []).append(time.perf_counter() - start)
            gradients[name] = loss.item(), x.grad, (whole if name == "one" else own).grad
    one, spread = (1e3 * statistics.median(times[name]) for name in ways)
    part = gradients["one"][2].chunk(dist.get_world_size())[dist.get_rank()].float()
    apart = [
        ((a.float() - b.float()).norm() / b.float().norm()).item()
        for a, b in ((gradients["all"][1], gradients["one"][1]), (gradients["all"][2], part))
    ]
    show(
        f"\n{tokens}x{hidden}x{classes}: one {one:.2f} ms, {dist.get_world_size()} {spread:.2f} ms ({spread / one:.3f}); "
        f"losses {gradients['one'][0]:.6f} and {gradients['all'][0]:.6f}, gradients differ by {apart[0]:.1e} and "
        f"{apart[1]:.1e} of their lengths"
    )


def show(text):
    if dist.get_rank() == 0:
        print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=32000)
    ways = ("tp_plan", *WAYS)
    parser.add_argument("--ways", nargs="+", default=ways, choices=ways)
    parser.add_argument("--head", help="tokens, hidden size and classes, as in 8192x4096x128256")
    arguments = parser.parse_args()
    rank = int(os.environ["LOCAL_RANK"])
    device = torch.device("cpu") if arguments.device == "cpu" else torch.device("cuda", rank)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("gloo" if device.type == "cpu" else "nccl")
    with tempfile.TemporaryDirectory() as own:
        folders = [own]
        dist.broadcast_object_list(folders, src=0)
        if dist.get_rank() == 0:
            build(arguments).save_pretrained(folders[0])
        dist.barrier()
        if arguments.head:
            time_head([int(size) for size in arguments.head.split("x")], device)
        compare(arguments, device, folders[0])
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
