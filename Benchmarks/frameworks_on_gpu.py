"""Hugging Face's Trainer and TRL's trainers with and without `use_liger_kernel`, on one NVIDIA GPU.

Usage: python Benchmarks/frameworks_on_gpu.py [--trainers trainer sft dpo kto grpo] [--steps N] [--layers N]

A Llama of random weights with a vocabulary of 128,256 and bf16 weights trains on random text, each side in a process of
its own. A row has the median step's tokens/s (answers/s for GRPO, which also generates), the peak of
`torch.cuda.max_memory_allocated`, and the losses of the first and the last step. Prints a Markdown table.

The package is to be installed (`pip install .`), as the switch asks for its version.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time

TRAINERS = ["trainer", "sft", "dpo", "kto", "grpo"]
LENGTH = 1024
WORDS = [f"w{i}" for i in range(2000)]


def make_tokenizer():
    """A word a token."""
    from tokenizers import Tokenizer
    from tokenizers import models
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<s>", "</s>", "<unk>", *WORDS]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def make_model(layers):
    import torch

    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=layers, num_attention_heads=32,
        num_key_value_heads=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True)
    torch.manual_seed(0)
    with torch.device("cuda"):
        return LlamaForCausalLM(config).bfloat16()


def phrases(count, words):
    import torch

    chosen = torch.randint(len(WORDS), (count, words), generator=torch.Generator().manual_seed(count + words)).tolist()
    return [" ".join(WORDS[i] for i in row) for row in chosen]


def patched(model, fused):
    """TRL patches the model alone; a reference without kernels rounds otherwise."""
    if fused:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
        _apply_liger_kernel_to_instance(model=model)
    return model


def reward(completions, **_):
    return [sum(map(ord, text)) % 97 / 97 for text in completions]


def make_trainer(name, model, tokenizer, options, steps):
    import datasets
    import transformers
    import trl

    count = steps * options["per_device_train_batch_size"]
    prompts, good, bad = phrases(count, LENGTH // 4), phrases(count, LENGTH // 2), phrases(count, LENGTH // 2 + 1)
    if name == "trainer":
        rows = [tokenizer(text)["input_ids"] for text in phrases(count, LENGTH)]
        data = datasets.Dataset.from_dict({"input_ids": rows, "labels": rows})
        return transformers.Trainer(model=model, args=transformers.TrainingArguments(**options), train_dataset=data)
    if name == "sft":
        data = datasets.Dataset.from_dict({"text": phrases(count, LENGTH)})
        arguments = trl.SFTConfig(max_length=LENGTH, **options)
        return trl.SFTTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
    reference = {"ref_model": patched(copy.deepcopy(model), options["use_liger_kernel"])}
    if name == "dpo":
        data = datasets.Dataset.from_dict({"prompt": prompts, "chosen": good, "rejected": bad})
        made, arguments = trl.DPOTrainer, trl.DPOConfig(max_length=LENGTH, **options)
    elif name == "kto":
        labels = [i % 2 == 0 for i in range(count)]
        data = datasets.Dataset.from_dict({"prompt": prompts, "completion": good, "label": labels})
        made, arguments = trl.KTOTrainer, trl.KTOConfig(max_length=LENGTH, **options)
    else:
        data = datasets.Dataset.from_dict({"prompt": prompts})
        made, reference = trl.GRPOTrainer, {"reward_funcs": reward}
        arguments = trl.GRPOConfig(num_generations=4, max_completion_length=64, **options)
    return made(model=model, args=arguments, train_dataset=data, processing_class=tokenizer, **reference)


def worker(name, fused, steps, layers):
    import torch
    import transformers

    times = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_, **__):
            torch.cuda.synchronize()
            times.append(time.perf_counter())

    batch = 4 if name in ("dpo", "kto", "grpo") else 8
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "output_dir": folder, "max_steps": steps, "per_device_train_batch_size": batch, "learning_rate": 1e-5,
            "logging_steps": 1, "report_to": "none", "bf16": True, "save_strategy": "no", "disable_tqdm": True,
            "use_liger_kernel": fused, "gradient_checkpointing": False, "seed": 3,
        }  # fmt: skip
        trainer = make_trainer(name, make_model(layers), make_tokenizer(), options, steps)
        trainer.add_callback(Clock())
        trainer.train()
    step = statistics.median(b - a for a, b in zip(times[1:], times[2:]))
    rows = [row for row in trainer.state.log_history if "grad_norm" in row]
    answer = LENGTH // 4 + LENGTH // 2  # with its prompt
    tokens = {"trainer": LENGTH, "sft": LENGTH, "dpo": 2 * answer, "kto": answer}
    units = batch * tokens.get(name, 1)
    print(json.dumps({
        "rate": units / step, "gib": torch.cuda.max_memory_allocated() / 2**30,
        "first": rows[0]["loss"], "last": rows[-1]["loss"],
    }))  # fmt: skip


def run(name, fused, arguments):
    command = [sys.executable, __file__, "--worker", name, "--steps", str(arguments.steps)]
    command += ["--layers", str(arguments.layers)] + ["--fused"] * fused
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-1500:], file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainers", nargs="*", default=TRAINERS, choices=TRAINERS)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--fused", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.worker, arguments.fused, arguments.steps, arguments.layers)
    print("| trainer | plain: rate, GiB | ours: rate, GiB | ratio | losses plain | losses ours |")
    print("|---|---:|---:|---:|---|---|")
    for name in arguments.trainers:
        plain, ours = run(name, False, arguments), run(name, True, arguments)
        if not plain or not ours:
            print(f"| {name} | {'failed' if not plain else 'ran'} | {'failed' if not ours else 'ran'} | | | |")
            continue
        row = [f"{side['rate']:,.0f}, {side['gib']:.1f}" for side in (plain, ours)]
        losses = [f"{side['first']:.4f} to {side['last']:.4f}" for side in (plain, ours)]
        ratio = ours["rate"] / plain["rate"]
        print(f"| {name} | {row[0]} | {row[1]} | {ratio:.2f} | {losses[0]} | {losses[1]} |", flush=True)


main()
