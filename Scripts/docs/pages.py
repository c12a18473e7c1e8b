"""The pages of the documentation, and what is found in them."""

import re

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def pages():
    """Every page, those at the top first."""
    examples = sorted((ROOT / "Examples").glob("*/README.md"))
    cards = sorted((ROOT / "Documentation/cards").glob("*/README.md"))
    documentation = [*sorted((ROOT / "Documentation").glob("*.md")), *cards]
    return [*(ROOT / name for name in TOP), ROOT / "Examples/README.md", *examples, *documentation]


def catalogues():
    """The first pages of the Swift modules, for DocC."""
    return sorted((ROOT / "Sources").glob("*/*.docc/*.md"))


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, language):
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.S | re.M)


def commands(page):
    """The commands of the page's shell blocks, one a line; a backslash at a line's end joins it with the next."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s# .*", "", line).strip()
            if line and not line.startswith("#"):
                yield line


def without_code(text):
    """The page without its blocks of code and comments."""
    return re.sub(r"^```.*?^```|<!--.*?-->", "", text, flags=re.S | re.M)


def headings(page):
    """The anchors of a page, as GitHub names them."""
    found = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
