"""What can be said of the pages without running anything: each check gives the faults that it finds."""

import re
import textwrap

import chart
import pages
import patched_families
import reading


def dead_links():
    """Links that lead to no file, or to no heading of a page."""
    for page in pages.pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", pages.without_code(page.read_text())):
            if re.match(r"https?://", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield f"{pages.name(page)}: {target} leads nowhere"
            elif anchor and file.suffix == ".md" and anchor not in pages.headings(file):
                yield f"{pages.name(page)}: {target} names no heading of {pages.name(file)}"


def unlisted_pages():
    """Pages that the index does not list."""
    index = pages.ROOT / "Documentation/README.md"
    text = index.read_text()
    for page in sorted(index.parent.glob("*.md")):
        if page != index and f"({page.name})" not in text:
            yield f"Documentation/README.md has no line for {page.name}"


def swift_that_nobody_compiles():
    """Swift blocks that are no part of a file which is compiled, whatever their indentation."""
    folders = [pages.ROOT / name for name in ("Examples", "Sources", "Tests")]
    sources = [file for folder in folders for file in sorted(folder.rglob("*.swift"))]
    yield from _in_no_file("swift", sources, "this Swift is in no file that is compiled")


def excerpts_of_no_example():
    """Blocks marked `py`, which nobody runs, that are no part of an example in Python, which the tests run."""
    examples = sorted((pages.ROOT / "Examples/Python").glob("*.py"))
    yield from _in_no_file("py", examples, "this Python is in no file of Examples/Python")


def _in_no_file(language, files, fault):
    sources = [_lines(file.read_text()) for file in files]
    for page in [*pages.pages(), *pages.catalogues()]:
        for block in pages.blocks(page, language):
            wanted = _lines(block)
            if not any(wanted in source for source in sources):
                shown = textwrap.indent(block, "    ")
                yield f"{pages.name(page)}: {fault}:\n{shown}"


def _lines(text):
    """The text's lines without indentation and blank lines, each closed by a line break."""
    return "\n" + "".join(line.strip() + "\n" for line in text.splitlines() if line.strip())


def messages_that_nobody_gives():
    """Messages of the page on troubleshooting that no source contains."""
    page = pages.ROOT / "Documentation/Troubleshooting.md"
    folders = [(pages.ROOT / "Sources", "*.swift"), (pages.ROOT / "python/src", "*.py")]
    sources = [file.read_text() for folder, form in folders for file in folder.rglob(form)]
    sources.append((pages.ROOT / "Scripts/setup").read_text())
    # Literals that the compiler joins are one message.
    joined = "\n".join(re.sub(r'"\s*\+?\s*f?"', "", source) for source in sources)
    for row in re.findall(r"^\| `([^`]+)` \|", page.read_text(), re.M):
        if row not in joined and not _is_shown(row, joined):
            yield f"{pages.name(page)}: no source says '{row}'"


def _is_shown(row, text):
    """Whether a message has the row's words, with quotes that are escaped in the source."""
    return row.replace('"', '\\"') in text


def stale_picture():
    """The picture of the README, where it is not what its table gives."""
    drawn = chart.chart(chart.measured((chart.DOCUMENTATION / "Measured.md").read_text()))
    if not chart.TARGET.exists() or chart.TARGET.read_text() != drawn:
        yield "Documentation/training.svg is not what Measured.md gives: run Scripts/docs/chart.py"


def hard_pages():
    """Pages whose sentences are too long, and a README of too many lines."""
    for page in pages.pages():
        if fault := reading.fault(page):
            yield fault
    lines = len((pages.ROOT / "README.md").read_text().splitlines())
    if lines > 150:
        yield f"README.md has {lines} lines; 150 are the most that a newcomer reads"


CHECKS = (
    dead_links, unlisted_pages, swift_that_nobody_compiles, excerpts_of_no_example, messages_that_nobody_gives,
    stale_picture, hard_pages, patched_families.faults,
)


def faults():
    return [fault for check in CHECKS for fault in check()]
