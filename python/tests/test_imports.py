"""What importing a public module brings with it."""

import json

import pytest
import torch

from test_system import python

from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss

EVERY_MODULE = """
import importlib, json, os, pkgutil, sys
import torch
import liger_kernel

assert "torch._dynamo" not in sys.modules

def public(path, prefix):
    for found in pkgutil.iter_modules(path, prefix):
        own = found.name.rpartition(".")[2]
        if not own.startswith("_"):
            yield found.name
            if found.ispkg:
                yield from public([os.path.join(each, own) for each in path], found.name + ".")

class Watch:
    # The package that first asks for torch's compiler, torch itself left out, and the child process ends there.
    def find_spec(self, name, path=None, target=None):
        if name != "torch._dynamo":
            return None
        frame = sys._getframe(1)
        while frame.f_globals["__name__"].partition(".")[0] in ("importlib", "torch"):
            frame = frame.f_back
        ended(frame.f_globals["__name__"])

def ended(asked):
    os.write(writer, json.dumps(asked).encode())
    os._exit(0)

seen = {}
for name in ["liger_kernel", *public(liger_kernel.__path__, "liger_kernel.")]:
    reader, writer = os.pipe()
    if os.fork() == 0:
        sys.meta_path.insert(0, Watch())
        try:
            importlib.import_module(name)
        except ImportError as error:
            # Of a package that is not installed here.
            if (error.name or "liger_kernel").startswith("liger_kernel"):
                ended(f"liger_kernel: {error}")
        ended(None)
    os.close(writer)
    os.wait()
    with os.fdopen(reader) as answer:
        seen[name] = json.load(answer)
print(json.dumps(seen))
"""


def test_no_public_module_imports_torchs_compiler():
    """It takes more than a second, which belongs to those who compile. transformers imports it for its own ends."""
    seen = json.loads(python(EVERY_MODULE, PYTHONWARNINGS="ignore").splitlines()[-1])
    assert {"liger_kernel.chunked_loss", "liger_kernel.recomputation", "liger_kernel.transformers.patching"} <= set(seen)
    ours = {name: asked for name, asked in seen.items() if asked and asked.startswith("liger_kernel")}
    assert not ours, ours


def test_losses_run_without_torchs_compiler():
    code = """
import sys, torch
from liger_kernel.chunked_loss import LigerFusedLinearORPOLoss
x, w = torch.randn(2, 3, 8, requires_grad=True), torch.randn(11, 8)
LigerFusedLinearORPOLoss()(w, x, torch.randint(0, 11, (2, 3)))[0].backward()
print(x.grad is not None, "torch._dynamo" in sys.modules)
"""
    assert python(code) == "True False"


def test_a_graph_that_may_not_break_gives_the_reason():
    x, w = torch.randn(2, 3, 8, requires_grad=True), torch.randn(11, 8)
    loss, labels = LigerFusedLinearORPOLoss(), torch.randint(0, 11, (2, 3))
    expected = loss(w, x, labels)[0]
    torch._dynamo.reset()
    assert torch.compile(loss, backend="eager")(w, x, labels)[0] == expected
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="leave fullgraph=True out|torch.compiler.disable"):
        torch.compile(loss, backend="eager", fullgraph=True)(w, x, labels)
