"""Recomputation by budget in the place of gradient checkpointing: keep what is dearest to compute again.

    python Examples/Python/recompute.py
"""

import tiny
import torch

from liger_kernel import recompute
from liger_kernel.transformers import apply_liger_kernel_to_llama

words = tiny.tokenizer()
model = tiny.model(words).train()
apply_liger_kernel_to_llama(model=model)
recomputation = recompute(model, budget="1MiB")

tokens = torch.randint(3, len(words), (2, 64))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(3):  # the first step is measured, the plan is made before the second
    model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(recomputation.plan)
