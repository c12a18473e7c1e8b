"""TRL's trainer for preferences, with a patched model and recomputation by a memory budget.

TRL's own chunked loss goes with it, as in trl_sft.py. The reference is a copy of the patched model. TRL would make one
that is not patched, which rounds otherwise in bf16. TRL turns gradient checkpointing on; the callback takes its place.

    python Examples/Python/trl_dpo.py
"""

import copy
import tempfile

import tiny

from datasets import Dataset
from trl import DPOConfig
from trl import DPOTrainer

from liger_kernel import launch_counts
from liger_kernel.transformers import LigerRecomputeCallback
from liger_kernel.transformers import apply_liger_kernel_to_llama

words = tiny.tokenizer()
model = tiny.model(words)
apply_liger_kernel_to_llama(model=model, fused_linear_cross_entropy=False)
pairs = Dataset.from_dict({
    "prompt": ["What sat on the mat? ", "What sang in the tree? "] * 4,
    "chosen": ["The cat.", "The bird."] * 4,
    "rejected": ["The tree.", "The mat."] * 4,
})
# For a GPU: "auto", or what the run may take of it, such as "70GiB".
recompute = LigerRecomputeCallback(budget="1MiB")
with tempfile.TemporaryDirectory() as folder:
    trainer = DPOTrainer(
        model=model,
        ref_model=copy.deepcopy(model),
        args=DPOConfig(
            folder, beta=0.1, max_steps=4, per_device_train_batch_size=4, learning_rate=1e-3, logging_steps=1,
            save_strategy="no", report_to="none", disable_tqdm=True, bf16=False),
        train_dataset=pairs, processing_class=words, callbacks=[recompute])
    trainer.train()
plan = recompute.recomputation.plan
assert plan.expected_peak <= plan.budget

counts = launch_counts()
print(counts)
assert counts["RMSNormForward"] and counts["SwiGLUForward"] and counts["RoPEPairKernel"]
