"""The Python examples of the docs run as they are written, a page's one after the other in one namespace."""

import re

from pathlib import Path

import pytest
import torch

from patching.conftest import modeling_modules  # noqa: F401
from patching.conftest import put_back  # noqa: F401 - an example patches classes, which later tests want whole

from liger_kernel.transformers import functional

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


def second_derivative():
    x = torch.ones(2, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(functional.liger_softmax(x).square().sum(), x, create_graph=True)
    slope.sum().backward()


X = torch.ones(2, 8)


# What the first page of the Python API says of errors.
@pytest.mark.parametrize(
    "error, call",
    [
        (ValueError, lambda: functional.liger_swiglu(X, X[:, :4])),
        (ValueError, lambda: functional.liger_rms_norm(X.int(), X[0], 1e-6)),
        (ValueError, lambda: functional.liger_kl_div(X, X, reduction="other")),
        (TypeError, lambda: functional.liger_rms_norm(X.double(), X[0].double(), 1e-6)),
        (IndexError, lambda: functional.liger_cross_entropy(X, torch.tensor([0, 8]))),
        (AssertionError, lambda: functional.liger_cross_entropy(X, torch.tensor([0, 8]))),
        (NotImplementedError, lambda: functional.liger_softmax(X.to("meta"))),
        (RuntimeError, second_derivative),
    ],
)
def test_errors_are_those_that_the_api_states(error, call):
    with pytest.raises(error):
        call()
