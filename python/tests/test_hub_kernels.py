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


# The names that transformers' mapping asks of kernels-community/liger-kernels, each loaded by the `kernels` package
# and held against torch's own operation, values and gradients.
EACH = """
import sys, torch
from pathlib import Path
from kernels import LocalLayerRepository, get_local_kernel
from torch import nn
from torch.nn import functional as F

folder, device = Path(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)

def layer(name):
    return LocalLayerRepository(folder, layer_name=name).load()

def held(ours, theirs, *tensors):
    results = []
    for function in (ours, theirs):
        leaves = [x.detach().to(device).requires_grad_() for x in tensors]
        outputs = function(*leaves)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        total = sum((y * torch.linspace(-1, 2, y.numel(), device=device).view(y.shape)).sum() for y in outputs)
        results.append([*outputs, *torch.autograd.grad(total, leaves)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)

x, weight, bias = torch.randn(2, 7, 8), torch.randn(5, 8), torch.randn(5)
def linear(x, w, b):
    module = nn.Linear(8, 5)
    del module.weight, module.bias
    module.weight, module.bias = w, b
    return layer("LigerLinear").forward(module, x)
held(linear, F.linear, x, weight, bias)
held(linear, F.linear, x[0, 0], weight, bias)

def half(x):
    return torch.cat((-x[..., 4:], x[..., :4]), -1)
angles = torch.randn(2, 7, 4, device=device).repeat(1, 1, 2)
cos, sin = angles.cos(), angles.sin()
kernel = get_local_kernel(folder)
for axis, shape in ((1, (2, 3, 7, 8)), (2, (2, 7, 3, 8))):
    def plain(q, k):
        return tuple(t * cos.unsqueeze(axis) + half(t) * sin.unsqueeze(axis) for t in (q, k))
    q, k = torch.randn(shape), torch.randn(shape)
    held(lambda q, k: kernel.liger_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=axis), plain, q, k)
    held(lambda q, k: layer("liger_rotary_pos_emb_layer")().forward(q, k, cos, sin, axis), plain, q, k)

labels = torch.randint(0, 5, (2, 7), device=device)
labels[0, :3] = -100
shifted = F.pad(labels, (0, 1), value=-100)[..., 1:]
for count in (None, 6, torch.tensor(6.0)):
    for softcap in (None, 3.0):
        def plain(x, w, b):
            logits = F.linear(x, w, b)
            logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
            reduction = "mean" if count is None else "sum"
            total = F.cross_entropy(logits.flatten(0, 1), shifted.flatten(), reduction=reduction)
            return total if count is None else total / count
        options = dict(num_items_in_batch=count, final_logit_softcapping=softcap, hidden_size=8, use_cache=False)
        for loss in (kernel.LigerForCausalLMLoss, layer("LigerForCausalLMLossLayer")().forward):
            for given in (dict(labels=labels), dict(labels=None, shift_labels=shifted)):
                held(lambda x, w, b: loss(
                    None, vocab_size=5, hidden_states=x, lm_head_weight=w, lm_head_bias=b, **given, **options,
                ), plain, x, weight, bias)
try:
    kernel.LigerForCausalLMLoss(None, labels, 5)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(not OVERLAY.is_dir(), reason="needs the `kernels` package: Scripts/setup python")
def test_each_name_of_the_hubs_repository(repository, device):
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EACH, repository, device], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(OVERLAY), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    assert "needs hidden_states and lm_head_weight" in found.stdout


def test_nothing_in_it_asks_for_the_installed_package(repository):
    """A repository of the Hub stands alone, next to another version of the package too."""
    for path in repository.rglob("*.py"):
        code = [line for line in path.read_text().splitlines() if line.lstrip().startswith(("import ", "from "))]
        assert not [line for line in code if "liger_kernel" in line], path
    for backend in ("cpu", "cuda"):
        metadata = json.loads((repository / "build" / f"torch-{backend}" / "metadata.json").read_text())
        assert metadata["backend"] == {"type": backend} and metadata["id"].isidentifier()
