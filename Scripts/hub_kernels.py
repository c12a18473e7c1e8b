"""Writes the kernels in the layout of the `kernels` package, which transformers loads layers from.

    python3 Scripts/hub_kernels.py FOLDER

FOLDER/build/torch-{cpu,cuda} hold the same: the layers of python/hub, and of the package what these need, under the
kernel's own name, so that it can be loaded next to an installed liger_kernel. `make library` comes first.
"""

import hashlib
import json
import re
import shutil
import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "src" / "liger_kernel"
NAME = "liger-kernels"
# What the operations consist of; patching, losses of post-training and tools stay out.
PARTS = ["_*.py", "utils.py", "functional.py", "lib/libliger.so", "ops/**/*.py", "backends/*.py"]


def sources():
    """The package's files by their path in it."""
    found = sorted({path for part in PARTS for path in PACKAGE.glob(part)})
    return {path.relative_to(PACKAGE): path for path in found}


def relative_imports(text, depth):
    """`from liger_kernel.a import b`, by where the file lies: `from ..a import b`."""
    dots = "." * (depth + 1)
    return re.sub(
        r"^(\s*)from liger_kernel(\.([\w.]+))? import", lambda m: f"{m[1]}from {dots}{m[3] or ''} import", text,
        flags=re.M,
    )


def write(folder, backend):
    variant = Path(folder) / "build" / f"torch-{backend}"
    shutil.rmtree(variant, ignore_errors=True)
    files = sources()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files.values())).hexdigest()[:12]
    identity = f"_liger_kernels_{backend}_{digest}"
    for relative, path in files.items():
        target = variant / "liger" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".py":
            shutil.copy2(path, target)
            continue
        target.write_text(relative_imports(path.read_text(), len(relative.parts) - 1))
    for path in (ROOT / "python" / "hub").glob("*.py"):
        shutil.copy2(path, variant / path.name)
    metadata = {
        "name": NAME, "id": identity, "version": 1, "license": "BSD-2-Clause", "python-depends": [],
        "backend": {"type": backend},
    }  # fmt: skip
    (variant / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
    return variant


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for backend in ("cpu", "cuda"):
        print(write(sys.argv[1], backend))
