"""The oldest torch and transformers: stated once, and an older one is refused with a sentence."""

import re

from pathlib import Path

import pytest

from processes import forked

from liger_kernel import _versions

IMPORTS = {
    "torch": [
        "from liger_kernel.transformers import LigerRMSNorm",
        "from liger_kernel.transformers.functional import liger_rms_norm",
        "from liger_kernel.transformers import apply_liger_kernel_to_llama",
        "import liger_kernel.chunked_loss",
        "import liger_kernel.ops.rms_norm",
        "from liger_kernel.megatron import LigerMegatronRMSNorm",
    ],
    "transformers": [
        "from liger_kernel.transformers import apply_liger_kernel_to_llama",
        "from liger_kernel.transformers import AutoLigerKernelForCausalLM",
        "import liger_kernel.transformers.monkey_patch",
    ],
}


@pytest.mark.parametrize("package", IMPORTS)
def test_an_older_one_is_refused_with_a_sentence(package):
    pytest.importorskip(package)
    code = f"""
import {package}
{package}.__version__ = "1.9.0+cpu"
for line in {IMPORTS[package]!r}:
    try:
        exec(line)
    except ImportError as error:
        print(error)
    else:
        print("taken")
"""
    found = forked(code)
    start = f"liger_kernel needs {package} {_versions.OLDEST[package]} or later; found {package} 1.9.0+cpu. Upgrade it"
    lines = found.splitlines()
    assert len(lines) == len(IMPORTS[package]) and all(line.startswith(start) for line in lines), found


def test_versions_are_compared_as_numbers():
    oldest = _versions.OLDEST["torch"]
    for found in (oldest, f"{oldest}.0a0+git1", "2.10.0", "2.13.0+cpu", "3.0"):
        _versions.require("torch", found)
    for found in ("2.3.1", "1.13", "2.1.2+cu121"):
        with pytest.raises(ImportError, match=re.escape(found)):
            _versions.require("torch", found)


def test_metadata_states_the_same():
    project = Path(__file__).parents[2] / "pyproject.toml"
    stated = re.findall(r'"(torch|transformers)>=([\d.]+)"', project.read_text())
    assert {name for name, _ in stated} == set(_versions.OLDEST)
    assert all(_versions.OLDEST[name] == version for name, version in stated)
