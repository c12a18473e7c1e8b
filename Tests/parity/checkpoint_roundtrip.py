"""Checks that checkpoints pass between this package and Python's libraries without a changed byte.

    checkpoint_roundtrip.py write FOLDER    writes files for Swift to read
    checkpoint_roundtrip.py verify FOLDER   checks the files that Swift wrote

A tensor's bytes stand in raw/NAME beside the file they are compared with.
"""

import json
import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

LLAMA3 = dict(
    rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
TINY = dict(
    hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
    vocab_size=131, max_position_embeddings=128, rms_norm_eps=1e-5,
)


def raw(tensor):
    """A tensor's bytes, row-major."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def dump(tensors, folder):
    os.makedirs(folder)
    for name, tensor in tensors.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(raw(tensor))


def samples():
    """Every element type that both sides have, over odd shapes."""
    result = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool):
        for number, shape in enumerate(([], [0], [1], [3, 0, 5], [7], [2, 3], [1, 17, 3])):
            values = torch.randn(shape) * 50
            result[f"{str(dtype).removeprefix('torch.')}.{number}"] = values.to(dtype)
    return result


def write(folder):
    torch.manual_seed(7)
    tensors = samples()
    save_file(tensors, os.path.join(folder, "python.safetensors"), metadata={"format": "pt"})
    dump(tensors, os.path.join(folder, "raw"))
    for name, options in dict(
        separate=dict(dtype=torch.float32), tied=dict(dtype=torch.bfloat16, tie_word_embeddings=True),
        llama3=dict(dtype=torch.float32, rope_parameters=LLAMA3, eos_token_id=[3, 5]),
    ).items():
        dtype = options.pop("dtype")
        model = LlamaForCausalLM(LlamaConfig(**TINY, **options)).to(dtype)
        target = os.path.join(folder, name)
        model.save_pretrained(target, max_shard_size="5GB" if name == "llama3" else "20KB")
        state = {n: t for n, t in model.state_dict().items() if not (name == "tied" and n == "lm_head.weight")}
        dump(state, os.path.join(folder, name + ".raw"))


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def check_bytes(tensors, folder):
    names = set(os.listdir(folder))
    check(names == set(tensors), f"{folder}: names differ: {names ^ set(tensors)}")
    for name, tensor in tensors.items():
        with open(os.path.join(folder, name), "rb") as file:
            check(file.read() == raw(tensor), f"{folder}: bytes of {name} differ")


def verify(folder):
    path = os.path.join(folder, "swift.safetensors")
    tensors = load_file(path)
    check_bytes(tensors, os.path.join(folder, "swift.raw"))
    again = os.path.join(folder, "again.safetensors")
    save_file(tensors, again, metadata={"format": "pt"})
    with open(path, "rb") as ours, open(again, "rb") as theirs:
        check(ours.read() == theirs.read(), "Python writes the same tensors as another file")
    for name in ("separate", "tied", "llama3"):
        original = AutoModelForCausalLM.from_pretrained(os.path.join(folder, name), dtype="auto")
        ours, report = AutoModelForCausalLM.from_pretrained(
            os.path.join(folder, name + ".swift"), dtype="auto", output_loading_info=True)
        check(not any(report.values()), f"{name}: loading reports {report}")
        check(type(ours) is type(original), f"{name}: class {type(ours)}")
        state = ours.state_dict()
        for key, tensor in original.state_dict().items():
            check(tensor.dtype == state[key].dtype and raw(tensor) == raw(state[key]), f"{name}: {key} differs")
        tokens = torch.arange(40).reshape(2, 20)
        check(torch.equal(ours(tokens).logits, original(tokens).logits), f"{name}: logits differ")
    verify_configurations(os.path.join(folder, "configurations"))


def verify_configurations(folder):
    """Each file is a config.json; expected.json beside it names the values that must be read from it."""
    for name in sorted(os.listdir(folder)):
        config = AutoConfig.from_pretrained(os.path.join(folder, name))
        with open(os.path.join(folder, name, "expected.json")) as file:
            expected = json.load(file)
        check(len(expected) > 10, f"{name}: too few expectations")
        for key, value in expected.items():
            found = getattr(config, key)
            if key == "dtype" and found is not None:
                found = str(found).removeprefix("torch.")
            check(found == value, f"{name}: {key} is {found}, expected {value}")


if __name__ == "__main__":
    {"write": write, "verify": verify}[sys.argv[1]](sys.argv[2])
    print("passed")
