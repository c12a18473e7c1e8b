"""Runs every shell command that the docs show, so that they stay true.

Takes the ```sh blocks of README.md, CONTRIBUTING.md and Documentation/, joins lines that end in a
backslash, and runs each command in a copy of nothing: a temporary folder whose .build is the
repository's. `make train` and `make test` are left to CI, which is what calls this script; a line that
starts with `#` is a comment.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_TO_CI = ("make ", "git clone", "cd ", "swift test", "swift build", "pip install")


def commands(path):
    for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip()
            if line and not line.startswith("#"):
                yield line


def main():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "Documentation").glob("*.md"))]
    failures, ran = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("README.md", "Documentation", "Sources", "Package.swift", "Benchmarks"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, Path(folder) / name)
            elif source.exists():
                shutil.copy(source, folder)
        environment = dict(os.environ, PATH=f"{ROOT / '.build/release'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}")
        for page in pages:
            for command in commands(page):
                if command.startswith(LEFT_TO_CI):
                    continue
                start = time.monotonic()
                result = subprocess.run(
                    ["bash", "-c", command.replace(".build/release/", "")],
                    cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
                ran += 1
                outcome = "ok" if result.returncode == 0 else f"FAILED with {result.returncode}"
                print(f"{outcome} {time.monotonic() - start:6.1f} s  {page.name}: {command}", flush=True)
                if result.returncode != 0:
                    failures.append(command)
                    print(result.stdout[-2000:], result.stderr[-2000:], sep="\n")
    if ran == 0:
        sys.exit("no command found in the docs: the search is broken")
    if failures:
        sys.exit(f"{len(failures)} of {ran} commands failed")
    print(f"{ran} commands ran")


if __name__ == "__main__":
    main()
