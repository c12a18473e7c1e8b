"""The Python examples of the docs run as they are written, a page's one after the other in one namespace."""

import re

from pathlib import Path

import pytest

from patching.conftest import modeling_modules  # noqa: F401
from patching.conftest import put_back  # noqa: F401 - an example patches classes, which later tests want whole

ROOT = Path(__file__).parents[2]
# The block of this page is a file of the package, word for word: see AddingAKernelTests.
OF_THE_PACKAGE = "AddingAKernel.md"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "Documentation").glob("*.md"))] if blocks(page)]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != OF_THE_PACKAGE], ids=lambda page: page.name)
def test_examples_run(page):
    namespace = {}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def test_pages_are_found():
    names = {page.name for page in PAGES}
    assert {"README.md", "PatchAModel.md", "PythonPackage.md", "WriteALoss.md", OF_THE_PACKAGE} <= names
