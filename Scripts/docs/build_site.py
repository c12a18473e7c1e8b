"""Builds the documentation site: the pages, the Python API from docstrings, and the Swift API by DocC.

    make site                                         builds .build/site
    python3 -m http.server --directory .build/site    shows it at http://localhost:8000

Fails where a public name has no documentation, where DocC warns, or where a link leads nowhere.
"""

import os
import re
import shutil
import sys
import tempfile

from pathlib import Path

import pages
import python_api
import swift_api

from markdown_it import MarkdownIt

SITE = pages.ROOT / ".build/site"
START = "Documentation/README.html"
TOP_LINKS = {
    "Documentation": START, "Python": "python/index.html", "Swift": "swift/documentation/index.html",
    "README": "README.html",
}  # fmt: skip
STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 62rem; margin: 0 auto; padding: 0 1rem 4rem; color: #1c1c1c; }
nav { border-bottom: 1px solid #ccc; padding: 1rem 0; margin-bottom: 1rem; } nav a { margin-right: 1.5rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
th, td { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; } code { font-size: .9em; } img { max-width: 100%; }
a { color: #1a55a8; }
"""


def slug(heading):
    return re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]*>", "", heading).lower()).strip().replace(" ", "-")


def html(markdown, place):
    """A page of the site; `place` is its path there."""
    body = MarkdownIt("commonmark").enable("table").render(markdown)
    body = re.sub(r"<h(\d)>(.*?)</h\1>", lambda m: f'<h{m[1]} id="{slug(m[2])}">{m[2]}</h{m[1]}>', body)
    body = re.sub(r'href="(?!https?:)([^"#]*)\.md(#[^"]*)?"', r'href="\1.html\2"', body)
    title = re.search(r"^# (.*)$", markdown, re.M)
    up = "../" * place.count("/")
    links = "".join(f'<a href="{up}{target}">{name}</a>' for name, target in TOP_LINKS.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title[1] if title else place}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><nav>{links}</nav>{body}</body></html>\n"
    )


def write(place, text):
    path = SITE / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_pages():
    for page in pages.pages():
        place = pages.name(page)
        write(place.removesuffix(".md") + ".html", html(page.read_text(), place))
        copy_linked_files(page)
    write("index.html", f'<!doctype html><meta http-equiv="refresh" content="0; url={START}">\n')


def copy_linked_files(page):
    """Files that a page links to and that are no pages, such as pictures and programs."""
    for target in re.findall(r"\]\(([^)#\s]+)\)", pages.without_code(page.read_text())):
        source = (page.parent / target).resolve()
        if source.is_file() and source.suffix != ".md":
            copied = SITE / source.relative_to(pages.ROOT)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copied)


def linked(text, known):
    """Names in code that have an entry become links to it."""
    return re.sub(
        r"(?<!\[)`(\w+)`(?!\])", lambda m: f"[`{m[1]}`]({known[m[1]]})" if m[1] in known else m[0], text)


def write_python():
    files, faults = python_api.build()
    known = {}
    for file, text in files.items():
        for name in re.findall(r"^## (\w+)$", text, re.M):
            known.setdefault(name, f"{file}#{name.lower()}")
    known |= {name: place for name, place in python_api.functions_of_losses().items() if name not in known}
    for file, text in files.items():
        write(f"python/{file.removesuffix('.md')}.html", html(linked(text, known), f"python/{file}"))
    return faults


def dead_links():
    """Links of the site's own pages that lead nowhere; DocC checks those of its pages."""
    files = [file for file in SITE.rglob("*.html") if "swift" not in file.relative_to(SITE).parts]
    anchors = {file: set(re.findall(r'id="([^"]*)"', file.read_text())) for file in files}
    for file in anchors:
        for target in re.findall(r'(?:href|src)="([^"]*)"', file.read_text()):
            if re.match(r"https?:", target):
                continue
            path, _, anchor = target.partition("#")
            found = Path(os.path.normpath(file.parent / path)) if path else file
            if not found.exists() or (anchor and anchor not in anchors.get(found, ())):
                yield f"{file.relative_to(SITE)}: {target} leads nowhere"


def main():
    SITE.mkdir(parents=True, exist_ok=True)
    write_pages()
    faults = write_python()
    with tempfile.TemporaryDirectory() as scratch:
        faults += swift_api.build(SITE, Path(scratch))
    faults += dead_links()
    if faults:
        sys.exit("\n".join(faults))
    print(f"the site is in {SITE.relative_to(pages.ROOT)}: python3 -m http.server --directory .build/site shows it")


if __name__ == "__main__":
    main()
