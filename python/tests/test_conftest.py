"""That what all tests share finds what a test leaves behind."""

import os
import re
import shutil
import subprocess
import sys

from pathlib import Path

LEAVES_HOOKS = """
import pytest
import torch

KINDS = ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]


@pytest.mark.parametrize("kind", [*KINDS, "backward_hook"])
def test_leaves(kind):
    getattr(torch.nn.modules.module, f"register_module_{kind}")(lambda *_: None)


def test_finds_none_left():
    assert not any(
        value for name, value in vars(torch.nn.modules.module).items() if name.startswith("_global") and "hooks" in name
    )
"""


def test_hooks_of_all_modules(tmp_path):
    """Each is an error of the test that left it, and of no other."""
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_hooks.py").write_text(LEAVES_HOOKS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    output = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path).stdout
    assert "6 passed, 5 errors" in output, output
    for kind in ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks"):
        assert re.search(f"the test left hooks on all modules: _{kind}\n", output), output
