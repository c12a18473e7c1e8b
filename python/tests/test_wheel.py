"""The wheel's tag against what the library asks for."""

import platform
import re
import shutil
import subprocess
import sys

from pathlib import Path

import pytest

from liger_kernel import _library

ROOT = Path(__file__).parents[2]
LIBRARY = Path(_library.__file__).with_name("lib") / "libliger.so"


@pytest.mark.skipif(not LIBRARY.exists() or not shutil.which("objdump"), reason="needs the library and objdump")
def test_the_tag_names_the_glibc_that_the_library_needs():
    symbols = subprocess.run(["objdump", "-T", LIBRARY], capture_output=True, text=True, check=True).stdout
    needed = max((int(a), int(b)) for a, b in re.findall(r"\bGLIBC_(\d+)\.(\d+)", symbols))
    code = f"""
import os, sys, setuptools
os.environ["LIGER_LIBRARY"], sys.argv = {str(LIBRARY)!r}, ["setup.py", "--version"]
sys.path.insert(0, {str(ROOT)!r})
import setup
wheel = setup.PlatformWheel(setup.BinaryDistribution())
print("tag", *wheel.get_tag())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split()[-3:] == ["py3", "none", f"manylinux_{needed[0]}_{needed[1]}_{platform.machine()}"]
