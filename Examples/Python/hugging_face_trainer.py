"""Hugging Face's Trainer: `use_liger_kernel=True` is all that it takes.

    python Examples/Python/hugging_face_trainer.py
"""

import tempfile

import tiny

from transformers import DataCollatorForLanguageModeling
from transformers import Trainer
from transformers import TrainingArguments

from liger_kernel import launch_counts
from liger_kernel import report

words = tiny.tokenizer()
model = tiny.model(words)
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            folder, use_liger_kernel=True, max_steps=4, per_device_train_batch_size=4, learning_rate=1e-3,
            logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True),
        train_dataset=[words(sentence) for sentence in tiny.SENTENCES],
        data_collator=DataCollatorForLanguageModeling(words, mlm=False))
    trainer.train()

# Which module runs which kernel, as it is bound now; then what was launched.
report(model)
counts = launch_counts()
print(counts)
assert any("RMSNorm" in name for name in counts), "no kernel ran"
