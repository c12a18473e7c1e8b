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


NEEDS_OBJDUMP = pytest.mark.skipif(
    not LIBRARY.exists() or not shutil.which("objdump"), reason="needs the library and objdump"
)
# What RHEL 8 and Ubuntu 18.04 have, the oldest systems that clusters run.
OLDEST = {"GLIBC": (2, 27), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11)}


@NEEDS_OBJDUMP
@pytest.mark.skipif(platform.machine() != "x86_64", reason="old versions are bound on x86-64")
def test_the_library_runs_on_old_systems():
    symbols = subprocess.run(["objdump", "-T", LIBRARY], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)\)?\s+(\w+)", symbols)
    too_new = [f"{library}_{v} {name}" for library, v, name in found if version(v) > OLDEST[library]]
    assert found and not too_new, f"bind older versions of these in Sources/CGlibc: {too_new}"


def version(text):
    return tuple(map(int, text.split(".")))


@NEEDS_OBJDUMP
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


@pytest.mark.parametrize("system, machine", [("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64")])
def test_other_systems_are_refused_before_anything_is_built(system, machine):
    code = f"""
import os, platform, sys, setuptools
os.environ.pop("LIGER_LIBRARY", None)
platform.system, platform.machine, sys.argv = lambda: {system!r}, lambda: {machine!r}, ["setup.py", "--version"]
sys.path.insert(0, {str(ROOT)!r})
import setup
setup.subprocess.Popen = None
try:
    setup.build_library()
except RuntimeError as error:
    print("refused:", error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    sentence = f"refused: liger_kernel's library is built on Linux on x86_64, and this is {system} on {machine}. "
    assert sentence in found.stdout, found.stdout + found.stderr
