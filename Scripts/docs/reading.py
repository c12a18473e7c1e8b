"""How hard the docs are to read: sentence lengths, and words of ours where the field has a term.

    python Scripts/docs/reading.py                     every page, and all together
    python Scripts/docs/reading.py --long README.md    the sentences of more than 25 words
    python Scripts/docs/reading.py --check             fails where a page exceeds the limits below

Prose is what is left without code, tables, headings and pictures. An item of a list ends a sentence.
"""

import argparse
import re
import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONG = 25
# Of a page: words a sentence on average, and the share of sentences of more than LONG words.
MEAN_LIMIT, SHARE_LIMIT = 16.0, 0.08
# Not held to the limits: dense by purpose, written for who already works on the part.
REFERENCE = {"Documentation/Measured.md", "Documentation/Architecture.md", "Documentation/GPUSchedule.md",
             "Documentation/Upstream.md"}
# A word of ours, and the field's term for it.
HOUSE_WORDS = {
    r"\bremade\b|\bmade again\b|\bmade twice\b": "recomputed, rematerialised",
    r"\bbrought\b|\bbrings\b": "staged, prefetched",
    r"\bside by side in memory\b": "contiguous",
    r"\bas (they|it) lies?\b|\blying\b": "in place, with their strides",
    r"\bbeside\b": "compared with, next to",
    r"\bswept\b|\bsweeps?\b": "a pass over a row",
    r"\bturned by\b": "rotated",
    r"\bof heads of\b": "for heads of size",
    r"\bcontent with\b": "uses, needs",
}


def pages(names):
    if names:
        return [Path(name).resolve() for name in names]
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
    return [page for page in [*top, *sorted((ROOT / "Documentation").glob("*.md"))] if page.exists()]


def prose(text):
    """The page's paragraphs and items of lists, each on one line."""
    text = re.sub(r"^ *```.*?^ *```", "\n", text, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->", "\n", text, flags=re.S)
    text = re.sub(r"^\s*\|.*$", "\n", text, flags=re.M)
    text = re.sub(r"^#.*$", "\n", text, flags=re.M)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"^\s*([*-]|\d+\.) ", "\n\n", text, flags=re.M)
    return [" ".join(part.split()).replace("*", "") for part in re.split(r"\n\s*\n", text) if part.strip()]


def sentences(text):
    found = [s for part in prose(text) for s in re.split(r"(?<=[.!?:])\s+(?=[A-Z0-9(]|code)", part)]
    return [s for s in found if re.search(r"[A-Za-z]{2}", s)]


def words(sentence):
    return len(re.findall(r"[^\s]*\w[^\s]*", sentence))


def measure(text):
    lengths = [words(sentence) for sentence in sentences(text)]
    count = max(len(lengths), 1)
    return len(lengths), sum(lengths) / count, sum(n > LONG for n in lengths) / count


def house_words(text):
    joined = "\n".join(prose(text))
    return [(match.group(), term) for word, term in HOUSE_WORDS.items() for match in re.finditer(word, joined, re.I)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--long", action="store_true", help="print the long sentences and the house words")
    parser.add_argument("--check", action="store_true", help="fail where a page exceeds the limits")
    options = parser.parse_args()
    failures, whole = [], ""
    print(f"{'page':<40} {'sentences':>9} {'mean':>5} {'over 25':>8} {'house words':>11}")
    for page in pages(options.pages):
        text = page.read_text()
        whole += "\n\n" + text
        name = str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else str(page)
        count, mean, share = measure(text)
        ours = house_words(text)
        print(f"{name:<40} {count:>9} {mean:>5.1f} {share:>8.0%} {len(ours):>11}")
        if options.long:
            print(*(f"    {words(s)}: {s}" for s in sentences(text) if words(s) > LONG), sep="\n")
            print(*(f"    {word}: say {term}" for word, term in ours), sep="\n")
        if name not in REFERENCE and (mean > MEAN_LIMIT or share > SHARE_LIMIT):
            failures.append(f"{name}: {mean:.1f} words a sentence, {share:.0%} over {LONG}")
    count, mean, share = measure(whole)
    print(f"{'all':<40} {count:>9} {mean:>5.1f} {share:>8.0%} {len(house_words(whole)):>11}")
    if options.check and failures:
        sys.exit("hard to read (see --long):\n" + "\n".join(failures))


if __name__ == "__main__":
    main()
