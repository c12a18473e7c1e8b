"""How hard the docs are to read: sentence lengths, and words of ours where the field has a term.

    python Scripts/docs/reading.py                     every page, and all together
    python Scripts/docs/reading.py --long README.md    also its sentences of more than 25 words, and our words

Prose is what is left without code, tables, headings and pictures. An item of a list ends a sentence.
"""

import argparse
import re

from pathlib import Path

import pages

LONG = 25
# What a newcomer reads first is held to limits: words a sentence on average, and the share of sentences of more than
# LONG words.
FRONT = (
    "README", "CONTRIBUTING", "SECURITY", "PatchAModel", "FineTune", "WriteAKernel", "WriteALoss", "MeasureHonestly",
    "PythonPackage",
)  # fmt: skip
MEAN_LIMIT, SHARE_LIMIT = 14.0, 0.06
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


def prose(text):
    """The page's paragraphs and items of lists, each on one line."""
    text = re.sub(r"^ *```.*?^ *```|<!--.*?-->", "\n", text, flags=re.S | re.M)
    text = re.sub(r"^\s*\|.*$|^#.*$", "\n", text, flags=re.M)
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
    """The number of sentences, their mean length, and the share of long ones."""
    lengths = [words(sentence) for sentence in sentences(text)]
    count = max(len(lengths), 1)
    return len(lengths), sum(lengths) / count, sum(n > LONG for n in lengths) / count


def house_words(text):
    joined = "\n".join(prose(text))
    return [(match.group(), term) for word, term in HOUSE_WORDS.items() for match in re.finditer(word, joined, re.I)]


def fault(page):
    """What makes a page too hard to read; None where nothing does."""
    _, mean, share = measure(page.read_text())
    if page.stem not in FRONT or (mean <= MEAN_LIMIT and share <= SHARE_LIMIT):
        return None
    return (
        f"{pages.name(page)} is hard to read: {mean:.1f} words a sentence, {share:.0%} over {LONG}; at most "
        f"{MEAN_LIMIT:g} and {SHARE_LIMIT:.0%}. See Scripts/docs/reading.py --long {pages.name(page)}"
    )


def row(name, text):
    count, mean, share = measure(text)
    return f"{name:<36} {count:>9} {mean:>5.1f} {share:>8.0%} {len(house_words(text)):>11}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--long", action="store_true", help="print long sentences and words of ours")
    options = parser.parse_args()
    chosen = [Path(name).resolve() for name in options.pages] or pages.pages()
    print(f"{'page':<36} {'sentences':>9} {'mean':>5} {'over 25':>8} {'house words':>11}")
    for page in chosen:
        text = page.read_text()
        print(row(pages.name(page), text))
        if options.long:
            for sentence in sentences(text):
                if words(sentence) > LONG:
                    print(f"    {words(sentence)}: {sentence}")
            for word, term in house_words(text):
                print(f"    {word}: say {term}")
    print(row("all", "\n\n".join(page.read_text() for page in chosen)))


if __name__ == "__main__":
    main()
