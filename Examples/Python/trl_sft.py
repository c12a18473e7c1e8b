"""TRL's trainer for supervised fine-tuning, with a patched model.

TRL 1.16 has a chunked loss of its own and puts it into the head's forward, so that part is left to it.

    python Examples/Python/trl_sft.py
"""

import tempfile

import tiny

from datasets import Dataset
from trl import SFTConfig
from trl import SFTTrainer

from liger_kernel import launch_counts
from liger_kernel.transformers import apply_liger_kernel_to_llama

words = tiny.tokenizer()
model = tiny.model(words)
print(apply_liger_kernel_to_llama(model=model, fused_linear_cross_entropy=False))
with tempfile.TemporaryDirectory() as folder:
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            folder, max_steps=4, per_device_train_batch_size=4, learning_rate=1e-3, logging_steps=1, save_strategy="no",
            report_to="none", disable_tqdm=True, bf16=False),
        train_dataset=Dataset.from_dict({"text": tiny.SENTENCES}),
        processing_class=words)
    trainer.train()

losses = [float(row["loss"]) for row in trainer.state.log_history if "loss" in row]
assert losses[-1] < losses[0], losses
counts = launch_counts()
print(counts)
assert counts["RMSNormForward"] and counts["SwiGLUForward"] and counts["RoPEPairKernel"]
