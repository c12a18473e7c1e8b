"""The kernels as a repository of the Hub, loaded from a folder by transformers' own `set_use_kernels`."""

import json
import os
import subprocess
import sys

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The `kernels` package in a process of its own, as importing it changes what transformers' classes are.
OVERLAY = ROOT / ".venv-kernels"
# transformers imports the package from 0.18.2 on; what is used here is the same in the newest that can be had.
PROGRAM = """
import inspect, json, sys
from pathlib import Path
from transformers.utils import import_utils
inspect.unwrap(import_utils.is_kernels_available).__defaults__ = ("0.17", "1")

import torch, transformers
from kernels import LocalLayerRepository, use_kernel_mapping
from patching import tiny

folder, device = Path(sys.argv[1]), sys.argv[2]
layers = {"RMSNorm": "LigerRMSNorm"}
mapping = {name: {device: LocalLayerRepository(folder, layer_name=layer)} for name, layer in layers.items()}

def step(model, batch):
    model.zero_grad(set_to_none=True)
    loss = model(**batch).loss
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters()]

model = tiny.text_model("llama").to(device)
batch = {name: tensor.to(device) for name, tensor in tiny.text_batch().items()}
plain, plain_gradients = step(model, batch)
with use_kernel_mapping(mapping, inherit_mapping=False):
    model.set_use_kernels(True)
loss, gradients = step(model, batch)
libraries = {name: module for name, module in sys.modules.items() if name.endswith(".liger._library")}
counts = [library.launch_counts() for library in libraries.values()]
print(json.dumps({
    "loss": abs(loss - plain).item(),
    "gradient": max((a - b).abs().max().item() for a, b in zip(gradients, plain_gradients)),
    "counts": counts, "libraries": list(libraries), "installed": "liger_kernel" in sys.modules,
}))
"""


def build(folder):
    subprocess.run([sys.executable, ROOT / "Scripts" / "hub_kernels.py", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return build(tmp_path_factory.mktemp("hub") / "liger-kernels")


@pytest.mark.skipif(not OVERLAY.is_dir(), reason="needs the `kernels` package: Scripts/setup python")
def test_transformers_loads_the_layers(repository, device):
    paths = [OVERLAY, ROOT / "python" / "tests", ROOT / "python" / "src"]
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, repository, device], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ":".join(map(str, paths)), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    result = json.loads(found.stdout.splitlines()[-1])
    assert result["loss"] < 2e-6 and result["gradient"] < 2e-5
    # The repository's own copy of the library did the work.
    assert len(result["libraries"]) == 1 and result["libraries"][0].startswith(f"_liger_kernels_{device}_")
    assert result["counts"][0]["RMSNormForward"] == result["counts"][0]["RMSNormBackward"] == 5


def test_nothing_in_it_asks_for_the_installed_package(repository):
    """A repository of the Hub stands alone, next to another version of the package too."""
    for path in repository.rglob("*.py"):
        code = [line for line in path.read_text().splitlines() if line.lstrip().startswith(("import ", "from "))]
        assert not [line for line in code if "liger_kernel" in line], path
    for backend in ("cpu", "cuda"):
        metadata = json.loads((repository / "build" / f"torch-{backend}" / "metadata.json").read_text())
        assert metadata["backend"] == {"type": backend} and metadata["id"].isidentifier()
