"""Runs every command that the docs show, and checks the pages, so that they stay true.

    python Scripts/run_docs.py            all pages
    python Scripts/run_docs.py README     pages whose name contains that
    python Scripts/run_docs.py --check    only what needs no command: links, Swift blocks, messages, the picture

Takes the ```sh blocks of all pages, joins lines that end in a backslash, and runs a page's commands one after the other
in a temporary folder; as many pages at a time as there are cores, four at most. It has the sources that they name, and
programs are those of the repository's .build. Commands that CI runs itself are left to it, and a line that starts with
`#` is a comment. Python blocks are run by python/tests/test_docs.py. Swift blocks are parts of files that are
compiled, and `py` blocks of examples that are run here (`Scripts/docs/checks.py`).
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "Scripts/docs"))

import checks  # noqa: E402
import pages  # noqa: E402

LEFT_TO_CI = ("make ", "git clone", "cd ", "swift test", "swift build", "swift format", "pip install", "pytest ")
COPIED = ("README.md", "Documentation", "Examples", "Sources", "Package.swift", "Benchmarks")


def copy_sources(folder):
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder)
    if (ROOT / ".venv").exists():
        (folder / ".venv").symlink_to(ROOT / ".venv")


def environment():
    """The repository's programs and Python first, and no network."""
    path = f"{ROOT / '.build/release'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    return dict(os.environ, PATH=path, PYTHONPATH=str(ROOT / "python/src"), HF_HUB_OFFLINE="1")


def as_built(command):
    """The command with programs that are built already: nothing is compiled here."""
    command = command.replace("swift run -c release ", "")
    return command.replace(".build/release/", "")


def run(page, command, folder):
    """Runs a command of a page; returns whether it succeeded, and says so."""
    start = time.monotonic()
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", as_built(command)],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=600)  # fmt: skip
    outcome = "ok" if result.returncode == 0 else f"FAILED with {result.returncode}"
    lines = [f"{outcome} {time.monotonic() - start:6.1f} s  {pages.name(page)}: {command}"]
    if result.returncode != 0:
        lines += [result.stdout[-2000:], result.stderr[-2000:]]
    # At once, as other pages' commands print too.
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return result.returncode == 0


def run_page(page):
    """Runs a page's commands in a folder of its own; returns how many, and those that failed."""
    commands = [each for each in pages.commands(page) if not each.startswith(LEFT_TO_CI)]
    if not commands:
        return 0, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_sources(folder)
        return len(commands), [f"{pages.name(page)}: {each}" for each in commands if not run(page, each, folder)]


def run_commands(chosen):
    """Runs the commands of some pages, some pages at a time; returns how many, and those that failed."""
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count(), 4)) as pool:
        results = list(pool.map(run_page, chosen))
    return sum(count for count, _ in results), [each for _, failures in results for each in failures]


def main():
    names = [argument for argument in sys.argv[1:] if argument != "--check"]
    faults = checks.faults()
    ran, failures = 0, []
    if "--check" not in sys.argv:
        chosen = [page for page in pages.pages() if not names or any(part in pages.name(page) for part in names)]
        ran, failures = run_commands(chosen)
        if ran == 0 and not names:
            sys.exit("no command found in the docs: the search is broken")
    for fault in faults:
        print(fault)
    if failures or faults:
        sys.exit(f"{len(failures)} of {ran} commands failed; {len(faults)} faults in the pages")
    print(f"{ran} commands ran; the pages have no fault")


if __name__ == "__main__":
    main()
