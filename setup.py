"""Builds the Swift library into the Python package.

The version is that of `liger_version()`; LIGER_NIGHTLY=1 dates it. LIGER_LIBRARY names a library that has been
built already, which is then only copied.
"""

import datetime
import functools
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from pathlib import Path

from setuptools import Distribution
from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

ROOT = Path(__file__).resolve().parent
SCRATCH = ROOT / ".build"
OLDEST_VERSIONS = ROOT / "Sources" / "CGlibc" / "OldestVersions.c"
TARGET = ROOT / "python" / "src" / "liger_kernel" / "lib" / "libliger.so"


def version():
    source = (ROOT / "Sources" / "LigerABI" / "Exports.swift").read_text()
    found = re.search(r'version = LastingText\("([^"]+)"\)', source)
    if not found:
        raise RuntimeError("Sources/LigerABI/Exports.swift states no version")
    nightly = os.environ.get("LIGER_NIGHTLY") == "1"
    return found[1] + (f".dev{datetime.date.today():%Y%m%d}" if nightly else "")


def say(line):
    """To the terminal where there is one, as pip keeps a build's output to itself."""
    try:
        with open("/dev/tty", "w") as terminal:
            terminal.write(line)
    except OSError:
        sys.stderr.write(line if line.endswith("\n") else line.strip("\r") + "\n")


def is_built_here():
    """Whether this is a system that the library is built and tested on."""
    return (platform.system(), platform.machine()) == ("Linux", "x86_64")


def compile_command():
    return ["swift", "build", "-c", "release", "--scratch-path", str(SCRATCH), "--product", "liger-abi"]


def link_command(source, library):
    """Links the objects of the command line and of `swift test`, which are compiled once, into a library by itself.

    source: a Swift file with the import below, from which the compiler knows the static libraries of Foundation.
    """
    release = SCRATCH / "release"
    return [
        "swiftc", "-emit-library", "-o", str(library), "-module-name", "liger_abi", "-parse-as-library", str(source),
        f"@{release / 'liger-abi.product' / 'Objects.LinkFileList'}",
        # The standard library goes in, and nothing but the C interface comes out.
        "-static-stdlib", "-use-ld=lld", "-Xlinker", f"--version-script={ROOT / 'python' / 'exports.map'}",
        "-Xlinker", "--gc-sections", "-Xlinker", "-s",
        # A symbol that no library has is found here, not when Python loads this.
        "-Xlinker", "-z", "-Xlinker", "defs", *oldest_versions(),
    ]  # fmt: skip


def oldest_versions():
    """Options that let the library run on older systems than the one that builds it.

    They are of LLVM's linker: gold wraps a symbol of a version too, so that each jump of OldestVersions.c led to itself.
    """
    names = re.findall(r"BIND\((\w+), |\b__wrap_(\w+)\(", OLDEST_VERSIONS.read_text())
    # Until glibc 2.34 these held the symbols that are in libc now.
    libraries = ["--no-as-needed", "-l:libpthread.so.0", "-l:libdl.so.2", "--as-needed"]
    options = [f"--wrap={bound or wrapped}" for bound, wrapped in names] + libraries
    return [word for option in options for word in ("-Xlinker", option)]


@functools.cache
def build_library():
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    given = os.environ.get("LIGER_LIBRARY")
    if given:
        if Path(given).resolve() != TARGET.resolve():
            shutil.copy2(given, TARGET)
        return
    if not is_built_here():
        raise RuntimeError(
            f"liger_kernel's library is built on Linux on x86_64, and this is {platform.system()} on "
            f"{platform.machine()}. Install there, or have LIGER_LIBRARY name a library that you have built here with "
            "`swift build -c release --product liger-abi`, which nobody has tried"
        )
    if shutil.which("swift") is None:
        raise RuntimeError(
            "liger_kernel is built from source with Swift 6.2 or later, which was not found. Install it from "
            "https://www.swift.org/install, or install a wheel, which needs neither Swift nor a compiler"
        )
    say("liger_kernel: building the Swift library, some minutes the first time\n")
    run(compile_command())
    # A running process may have the old file mapped: it keeps it, under no name.
    fresh = TARGET.with_suffix(".new")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "Libraries.swift"
        source.write_text("import FoundationEssentials\n")
        run(link_command(source, fresh))
    os.replace(fresh, TARGET)
    say("liger_kernel: the Swift library is built\n")


def run(command):
    """Runs a step of the build and says how far it is; raises RuntimeError with its last lines where it fails."""
    log = []
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    for line in process.stdout:
        log.append(line)
        step = re.match(r"\[(\d+)/(\d+)\]", line)
        if step and sys.stderr.isatty():
            say(f"\rliger_kernel: step {step[1]} of {step[2]} ")
    if process.wait() != 0:
        raise RuntimeError("the Swift library does not build:\n" + "".join(log[-60:]))


class BuildWithSwift(build_py):
    """Builds the library before the package is copied; also for editable installs."""

    def run(self):
        build_library()
        super().run()


class EditableWithSwift(editable_wheel):
    """An editable install has the library in the source tree."""

    def run(self):
        build_library()
        super().run()


def needed_glibc(library):
    """The newest glibc that a library's symbols ask for, (major, minor), from the version names in the file.

    Raises RuntimeError where it names none.
    """
    found = re.findall(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)", Path(library).read_bytes())
    if not found:
        raise RuntimeError(f"{library} names no version of glibc, so no wheel's tag can be told. Build it on Linux")
    return max((int(major), int(minor)) for major, minor in found)


class PlatformWheel(bdist_wheel):
    """One wheel for every Python of the platform: the library knows nothing of Python."""

    def get_tag(self):
        build_library()
        major, minor = needed_glibc(TARGET)
        return "py3", "none", f"manylinux_{major}_{minor}_{platform.machine()}"


class BinaryDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(
    version=version(),
    distclass=BinaryDistribution,
    cmdclass={"build_py": BuildWithSwift, "editable_wheel": EditableWithSwift, "bdist_wheel": PlatformWheel},
)
