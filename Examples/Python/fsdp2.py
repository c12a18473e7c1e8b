"""FSDP2 over two processes, on the CPU here: patch first, then shard.

    torchrun --standalone --nproc-per-node 2 Examples/Python/fsdp2.py
"""

import os

import tiny
import torch
import torch.distributed as dist

from torch.distributed.fsdp import fully_shard

from liger_kernel.transformers import apply_liger_kernel_to_llama

cuda = torch.cuda.is_available()
dist.init_process_group("nccl" if cuda else "gloo")
rank = dist.get_rank()
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
mesh = dist.init_device_mesh(device.type, (dist.get_world_size(),))

words = tiny.tokenizer()
model = tiny.model(words).to(device)
apply_liger_kernel_to_llama(model=model)
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)

optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
mine = words(tiny.SENTENCES[rank::2], return_tensors="pt", padding=True).to(device)
labels = mine["input_ids"].masked_fill(mine["attention_mask"] == 0, -100)
losses = []
for _ in range(4):
    loss = model(**mine, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())

print(f"rank {rank}: losses {losses}", flush=True)
assert losses[-1] < losses[0]
dist.barrier()
dist.destroy_process_group()
