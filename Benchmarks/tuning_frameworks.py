"""Axolotl, LLaMA-Factory, ms-swift and oumi with and without their switch for Liger kernels, on one GPU or the CPU.

Usage: python Benchmarks/tuning_frameworks.py [--frameworks NAME ...] [--steps N] [--size tiny|1b] [--path FOLDER ...]
                                              [--together] [--limit SECONDS]

Each framework loads a Llama of random weights and a file of random words, and trains by its own entry point: the one
that its command line calls. A row has the tokens of a batch by the median step's time, the peak of
`torch.cuda.max_memory_allocated` from the second step, each step's loss, and how many of this package's kernels ran. Each side is a process of its own. Weights are
in bf16 on a GPU and in fp32 on the CPU, where losses are to agree to 2e-5. Prints a Markdown table.

--path: `FRAMEWORK=FOLDER`, which is put before Python's path, where a framework needs packages of its own.
--together: all processes import, load and prepare at the same time, and train one after the other.
--limit: seconds for each process. What it does after two thirds of them is printed, and after all of them it is ended.
`liger_kernel` is to be installed, as frameworks ask for its version.
"""

import argparse
import contextlib
import faulthandler
import fcntl
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from pathlib import Path

FRAMEWORKS = ["axolotl", "llamafactory", "ms-swift", "oumi"]
WORDS = [f"w{i}" for i in range(2000)]
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{{ eos_token }}{% endfor %}"
SIZES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "vocab_size": 2048},
    "1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 8, "num_attention_heads": 32,
           "num_key_value_heads": 8, "vocab_size": 128256},
}  # fmt: skip
LENGTHS = {"tiny": 64, "1b": 1024}


def write_checkpoint(folder, size):
    """A Llama and a tokenizer with a word a token, as `from_pretrained` reads them."""
    import torch

    from tokenizers import Tokenizer
    from tokenizers import models
    from tokenizers import pre_tokenizers
    from transformers import LlamaConfig
    from transformers import LlamaForCausalLM
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<s>", "</s>", "<unk>", *WORDS]
    words = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        **SIZES[size], pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
        max_position_embeddings=4096)  # fmt: skip
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        model = LlamaForCausalLM(config).to(torch.bfloat16 if device == "cuda" else torch.float32)
    model.save_pretrained(folder)


def write_data(folder, rows, length):
    """One conversation a row, in the form that each framework reads."""
    import random

    numbers = random.Random(1)

    def words():
        return " ".join(numbers.choice(WORDS) for _ in range(length // 2 - 4))

    pairs = [(words(), words()) for _ in range(rows)]
    roles = [[{"role": "user", "content": a}, {"role": "assistant", "content": b}] for a, b in pairs]
    files = {
        "messages.jsonl": [{"messages": row} for row in roles],
        "text.jsonl": [{"text": f"{a} {b}"} for a, b in pairs],
        "pairs.jsonl": [{"instruction": a, "input": "", "output": b} for a, b in pairs],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "dataset_info.json").write_text(json.dumps({"pairs": {"file_name": "pairs.jsonl"}}))


def axolotl(job):
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.cli.train import do_train

    options = {
        "base_model": str(job.model), "datasets": [{
            "path": str(job.data / "text.jsonl"), "ds_type": "json", "type": "completion", "field": "text"}],
        "dataset_prepared_path": str(job.out / "prepared"), "output_dir": str(job.out), "sequence_len": job.length,
        "sample_packing": False, "micro_batch_size": job.batch, "gradient_accumulation_steps": 1,
        "max_steps": job.steps, "optimizer": "adamw_torch", "lr_scheduler": "constant", "learning_rate": job.rate,
        "bf16": job.is_bf16, "fp16": False, "tf32": False, "logging_steps": 1, "attn_implementation": "sdpa", "seed": 3,
        "val_set_size": 0, "save_strategy": "no", "dataset_num_proc": 1, "gradient_checkpointing": False,
        "warmup_steps": 0, "special_tokens": {"pad_token": "<pad>"},
    }  # fmt: skip
    if job.fused:
        options["plugins"] = ["axolotl.integrations.liger.LigerPlugin"]
        kinds = ("rope", "rms_norm", "glu_activation", "fused_linear_cross_entropy")
        options |= {f"liger_{kind}": True for kind in kinds}
    path = job.out / "config.yaml"
    path.write_text(json.dumps(options))  # JSON is YAML
    do_train(load_cfg(str(path)), TrainerCliArgs())


def llamafactory(job):
    # It asks for transformers up to 5.6 and for trl up to 0.24.
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    from llamafactory.train.tuner import run_exp

    run_exp({
        "model_name_or_path": str(job.model), "stage": "sft", "do_train": True, "finetuning_type": "full",
        "dataset": "pairs", "dataset_dir": str(job.data), "template": "empty", "cutoff_len": job.length,
        "output_dir": str(job.out), "max_steps": job.steps, "per_device_train_batch_size": job.batch,
        "learning_rate": job.rate, "lr_scheduler_type": "constant", "logging_steps": 1, "report_to": "none",
        "save_strategy": "no", "pure_bf16": job.is_bf16, "enable_liger_kernel": job.fused, "flash_attn": "sdpa",
        "disable_gradient_checkpointing": True, "seed": 3, "plot_loss": False, "train_on_prompt": True,
    })  # fmt: skip


def ms_swift(job):
    from swift import SftArguments
    from swift import sft_main

    sft_main(SftArguments(
        model=str(job.model), model_type="llama", template="dummy", dataset=[str(job.data / "messages.jsonl")],
        tuner_type="full", torch_dtype="bfloat16" if job.is_bf16 else "float32", max_length=job.length,
        output_dir=str(job.out), add_version=False, max_steps=job.steps, per_device_train_batch_size=job.batch,
        learning_rate=job.rate, lr_scheduler_type="constant", warmup_ratio=0.0, logging_steps=1, report_to=["none"],
        save_strategy="no", use_liger_kernel=job.fused, attn_impl="sdpa", gradient_checkpointing=False, seed=3,
        gradient_accumulation_steps=1, use_hf=True, dataset_num_proc=1, dataloader_num_workers=0))  # fmt: skip


def oumi(job):
    from oumi.core.configs import TrainingConfig
    from oumi.train import train

    options = {
        "model": {
            "model_name": str(job.model), "model_max_length": job.length, "enable_liger_kernel": job.fused,
            "torch_dtype_str": "bfloat16" if job.is_bf16 else "float32", "attn_implementation": "sdpa"},
        "data": {"train": {"datasets": [
            {"dataset_name": "text_sft", "dataset_path": str(job.data / "messages.jsonl")}]}},
        "training": {
            "trainer_type": "TRL_SFT", "output_dir": str(job.out), "max_steps": job.steps,
            "per_device_train_batch_size": job.batch, "learning_rate": job.rate, "lr_scheduler_type": "constant",
            "optimizer": "adamw_torch", "logging_steps": 1, "save_steps": 0, "save_final_model": False,
            "enable_wandb": False, "enable_tensorboard": False, "seed": 3,
            "dataloader_main_process_only": False},
    }  # fmt: skip
    path = job.out / "config.yaml"
    path.write_text(json.dumps(options))
    train(TrainingConfig.from_yaml(path))


def watch(steps, folder):
    """Gives all of transformers' trainers a callback when they begin, whichever framework makes them."""
    import torch
    import transformers

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *_, **__):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
                if not steps["ends"]:
                    torch.cuda.reset_peak_memory_stats()
            steps["ends"].append(time.perf_counter())

        def on_log(self, arguments, state, control, logs=None, **_):
            if "loss" in (logs or {}):
                steps["losses"].append(float(logs["loss"]))

    train, step = transformers.Trainer.train, transformers.Trainer.training_step

    def watched(self, *arguments, **options):
        self.add_callback(Clock())
        with (folder / "turn").open("w") as turn:
            # Until it is closed, no other process trains on this machine's device.
            fcntl.flock(turn, fcntl.LOCK_EX)
            return train(self, *arguments, **options)

    def counted(self, model, inputs, *rest, **options):
        steps["tokens"].append(inputs["input_ids"].numel())
        return step(self, model, inputs, *rest, **options)

    transformers.Trainer.train, transformers.Trainer.training_step = watched, counted


def worker(arguments):
    if arguments.limit:
        faulthandler.dump_traceback_later(arguments.limit * 2 / 3)
    import torch
    import transformers

    steps = {"ends": [], "losses": [], "tokens": []}
    watch(steps, arguments.folder)
    has_gpu = torch.cuda.is_available()
    job = argparse.Namespace(
        model=arguments.folder / "model", data=arguments.folder, out=Path(tempfile.mkdtemp(dir=arguments.folder)),
        fused=arguments.fused, steps=arguments.steps, length=LENGTHS[arguments.size], is_bf16=has_gpu,
        batch=8 if has_gpu else 2, rate=1e-5 if has_gpu else 1e-3)  # fmt: skip
    {"axolotl": axolotl, "llamafactory": llamafactory, "ms-swift": ms_swift, "oumi": oumi}[arguments.worker](job)
    ends = steps["ends"]
    counts = {}
    if "liger_kernel" in sys.modules:
        from liger_kernel import launch_counts

        counts = launch_counts()
    row = {
        "seconds": statistics.median(b - a for a, b in zip(ends[1:], ends[2:])),
        "tokens": statistics.median(steps["tokens"]),
        "gib": torch.cuda.max_memory_allocated() / 2**30 if has_gpu else 0.0,
        "losses": steps["losses"], "kernels": counts, "transformers": transformers.__version__,
    }  # fmt: skip
    print("\n" + json.dumps(row), flush=True)


class Side:
    """A process that trains by one framework, with its switch for Liger kernels or without."""

    def __init__(self, name, fused, arguments, folder):
        command = [sys.executable, __file__, "--worker", name, "--folder", str(folder), "--steps", str(arguments.steps)]
        command += ["--size", arguments.size, "--limit", str(arguments.limit)] + ["--fused"] * fused
        paths = [path for each in arguments.path for key, _, path in [each.partition("=")] if key == name]
        offline = {
            "HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"
        }  # fmt: skip
        known = [*paths, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | offline | {"PYTHONPATH": os.pathsep.join(known)}
        self.name = f"{name}, {'ours' if fused else 'plain'}"
        self.logs = [folder / f"{name}-{fused}.{kind}" for kind in ("out", "err")]
        with contextlib.ExitStack() as stack:
            out, err = (stack.enter_context(path.open("w")) for path in self.logs)
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        self.end = time.monotonic() + arguments.limit if arguments.limit else None

    def row(self):
        """What it measured, or nothing where it failed or took too long: then the end of its log is printed."""
        try:
            self.process.wait(max(0.0, self.end - time.monotonic()) if self.end else None)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        out, err = (path.read_text(errors="replace") for path in self.logs)
        if self.process.returncode:
            print(f"{self.name}: ended with {self.process.returncode}\n{err[-2500:]}", file=sys.stderr, flush=True)
            return None
        return json.loads(out.strip().splitlines()[-1])


def line(name, plain, ours):
    if not plain or not ours:
        return f"| {name} | {'failed' if not plain else 'ran'} | {'failed' if not ours else 'ran'} | | | | |"
    apart = max(abs(a - b) for a, b in zip(plain["losses"], ours["losses"]))
    sides = [f"{side['tokens'] / side['seconds']:,.0f}, {side['gib']:.1f} GiB" for side in (plain, ours)]
    losses = [" ".join(f"{loss:.4f}" for loss in side["losses"][:3]) for side in (plain, ours)]
    kernels = f"{sum(ours['kernels'].values()):,} of {len(ours['kernels'])} kinds"
    kernels += f"; plain {sum(plain['kernels'].values())}" if plain["kernels"] else ""
    row = [name, *sides, f"{plain['seconds'] / ours['seconds']:.2f}", *losses, f"{apart:.1e}", kernels]
    return "| " + " | ".join(row) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", nargs="*", default=FRAMEWORKS, choices=FRAMEWORKS)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", default="tiny", choices=sorted(SIZES))
    parser.add_argument("--path", nargs="*", default=[])
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--limit", type=float, default=0)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fused", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments)
    print("| framework | plain, tokens/s | ours | ratio | losses plain | losses ours | most apart | kernels |")
    print("|---|---:|---:|---:|---|---|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_checkpoint(folder / "model", arguments.size)
        write_data(folder, arguments.steps * 8, LENGTHS[arguments.size])
        jobs = [(name, fused) for name in arguments.frameworks for fused in (False, True)]
        started = {job: Side(*job, arguments, folder) for job in jobs if arguments.together}
        rows = {}
        for job in jobs:
            rows[job] = (started.get(job) or Side(*job, arguments, folder)).row()
            if job[1]:
                print(line(job[0], rows[job[0], False], rows[job]), flush=True)


# Axolotl has processes that import this file.
if __name__ == "__main__":
    main()
