"""The Python examples of README.md run as they are written, one after the other in one namespace."""

import re

from pathlib import Path

from patching.conftest import modeling_modules  # noqa: F401
from patching.conftest import put_back  # noqa: F401 - an example patches classes, which later tests want whole

README = Path(__file__).parents[2] / "README.md"


def test_examples_run():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.S | re.M)
    assert blocks, "README.md has no Python example: the search is broken"
    namespace = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
