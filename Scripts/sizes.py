#!/usr/bin/env python3
"""Lengths of files and functions, and how many lines stand twice, in Swift, C and Python.

    Scripts/sizes.py            prints them, language by language
    Scripts/sizes.py --check    fails where a file, a function or a language has more than it may
    Scripts/sizes.py --repeated prints the places that share lines, the longest first

A function's length is that from its name to its end. A line is repeated if it is one of at least six lines of code
that stand elsewhere too, spaces aside; comments, imports and lone brackets are passed over.
"""

import argparse
import ast
import re
import statistics
import subprocess
import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = {"Swift": (".swift",), "C": (".c", ".h"), "Python": (".py",)}
LINES_OF_FILE, LINES_OF_FUNCTION = 400, 60
RUN = 6
# Of the lines of code of a language, in per cent.
REPEATED = {"Swift": 0.5, "C": 0.6, "Python": 1.1}

BLANKED = re.compile(
    r'//[^\n]*|/\*.*?\*/|#*"""(?:\\.|[^\\])*?"""#*|#"(?:[^"\n]|"(?!#))*"#|"(?:\\.|[^"\\\n])*"', re.S
)
FUNCTIONS = {
    "Swift": re.compile(r"\b(?:func\s+\S+?\s*[(<]|init[?!]?\s*[(<]|deinit\s*\{|subscript\s*[(<])"),
    "C": re.compile(r"^[A-Za-z_][\w *]*\b\w+\([^;{}]*\)\s*\{", re.M),
}
# Brackets, and what follows a requirement of a protocol, which has no block.
PUNCTUATION = re.compile(
    r"[()\[\]{};]|\n\s*(?:(?:public|package|private|static|mutating)\s+)*(?:func|init|var|let|associatedtype)\b"
)
PASSED_OVER = re.compile(
    r"\W*|(?:(?:public|package|@_exported|@testable)\s+)*import\s.*|from\s\S+\simport\s.*|#include.*"
)


def files(root, language):
    """Those that git knows of, or all where there is no repository."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True
    )
    found = listed.stdout.splitlines() if listed.returncode == 0 else (p.relative_to(root) for p in root.rglob("*"))
    paths = (Path(root, name) for name in sorted(map(str, found)))
    return [path for path in paths if path.suffix in LANGUAGES[language] and path.is_file()]


def blanked(text):
    """The text without comments and strings, line for line."""
    return BLANKED.sub(lambda match: "\n" * match.group().count("\n"), text)


def end_of_block(text, start):
    """Where the block that begins after `start` ends; None if a declaration without one ends first."""
    brackets = 0
    for match in PUNCTUATION.finditer(text, start):
        found = match.group()
        if found in "([":
            brackets += 1
        elif found in ")]":
            brackets -= 1
        elif found == "{" and brackets == 0:
            return end_of_braces(text, match.start())
        elif brackets == 0 and found != "{":
            return None
        if brackets < 0:
            return None
    return None


def end_of_braces(text, start):
    depth = 0
    for match in re.compile(r"[{}]").finditer(text, start):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.end()
    return None


def functions(text, language):
    """The first line and the length of each function."""
    if language == "Python":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.lineno, node.end_lineno - node.lineno + 1
        return
    text = blanked(text)
    for match in FUNCTIONS[language].finditer(text):
        start = match.end() - 1
        end = end_of_block(text, start)
        if end is not None:
            yield text.count("\n", 0, match.start()) + 1, text.count("\n", match.start(), end) + 1


def lines_of_code(text, language):
    """Each line with its number, spaces folded."""
    if language == "Python":
        code = re.sub(r'(?m)^\s*(?:""".*?"""|#[^\n]*)\s*$', lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    else:
        code = re.sub(r"(?m)^\s*//[^\n]*$", "", text)
    for number, line in enumerate(code.split("\n"), 1):
        line = " ".join(line.split())
        if not PASSED_OVER.fullmatch(line):
            yield number, line


def repetitions(paths, language):
    """How many lines of code there are, those that stand twice, and pairs of places with the lines they share."""
    code = {path: list(lines_of_code(path.read_text(), language)) for path in paths}
    first, repeated, pairs = {}, set(), {}
    for path, lines in code.items():
        for start in range(len(lines) - RUN + 1):
            run = tuple(line for _, line in lines[start : start + RUN])
            other = first.setdefault(run, (path, start))
            if other == (path, start):
                continue
            repeated |= {(each, index + i) for each, index in (other, (path, start)) for i in range(RUN)}
            places = [lines[start][0], code[other[0]][other[1]][0], RUN - 1]
            pairs.setdefault((other[0], path, start - other[1]), places)[2] += 1
    return sum(map(len, code.values())), len(repeated), pairs


def measured(root, language):
    """A line of figures, and what is too long or too often there."""
    paths, lengths, faults = files(root, language), [], []
    longest = (0, "")
    for path in paths:
        text, name = path.read_text(), path.relative_to(root).as_posix()
        count = len(text.splitlines())
        longest = max(longest, (count, name))
        if count > LINES_OF_FILE:
            faults.append(f"{name} has {count} lines; {LINES_OF_FILE} are the most. Split it by sense")
        for line, length in functions(text, language):
            lengths.append((length, f"{name}:{line}"))
            if length > LINES_OF_FUNCTION:
                faults.append(f"{name}:{line} a function of {length} lines; {LINES_OF_FUNCTION} are the most")
    total, repeated, _ = repetitions(paths, language)
    share = 100 * repeated / max(total, 1)
    if share > REPEATED[language]:
        faults.append(f"{language}: {share:.2f}% of the lines stand twice; {REPEATED[language]}% are the most")
    median = statistics.median(length for length, _ in lengths) if lengths else 0
    return (
        f"{language:<7} {len(paths):>5} files, the longest {longest[0]} lines; {len(lengths)} functions, median "
        f"{median:g}, longest {max(lengths, default=(0, ''))[0]}; {share:.2f}% of {total} lines repeated", faults
    )  # fmt: skip


def show_repeated(root, language):
    _, _, pairs = repetitions(files(root, language), language)
    for (a, b, _), (line, other, count) in sorted(pairs.items(), key=lambda pair: -pair[1][2]):
        print(f"{count:>4}  {a.relative_to(root)}:{other}  {b.relative_to(root)}:{line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repeated", action="store_true")
    arguments, faults = parser.parse_args(), []
    for language in LANGUAGES:
        if arguments.repeated:
            show_repeated(ROOT, language)
            continue
        figures, found = measured(ROOT, language)
        print(figures)
        faults += found
    if arguments.check:
        print("\n".join(faults), end="\n" if faults else "")
        return 1 if faults else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
