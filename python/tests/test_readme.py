"""The Python examples of the docs run as they are written, a page's one after the other in one namespace."""

import re

from pathlib import Path

import pytest

from patching.conftest import modeling_modules  # noqa: F401
from patching.conftest import put_back  # noqa: F401 - an example patches classes, which later tests want whole

ROOT = Path(__file__).parents[2]


PAGES = ["README.md", *(f"Documentation/{page}.md" for page in ("Recomputation", "OptimiserMemory", "FP8"))]


@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)
    assert blocks, f"{page} has no Python example: the search is broken"
    namespace = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
