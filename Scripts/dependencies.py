#!/usr/bin/env python3
"""Draws what depends on what in the Swift sources, and holds them to one direction.

    Scripts/dependencies.py            prints the drawing
    Scripts/dependencies.py --write    puts it into Documentation/Architecture.md
    Scripts/dependencies.py --check    fails if it is another there, or if a rule is broken
    Scripts/dependencies.py --circles FOLDER...   counts the files in circles below these folders

A file depends on another of its target if it names something that the other declares at its top level; a folder or a
target depends on another if one of its files does. Members are not looked at, as their names say not whose they are.
"""

import argparse
import re
import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "Documentation/Architecture.md"
BEGIN, END = "<!-- dependencies: made by Scripts/dependencies.py -->\n", "<!-- end of dependencies -->\n"

# Targets whose folders depend on each other in one direction.
LAYERED = ("LigerArrays", "LigerCPU", "LigerGPU", "LigerCUDA", "LigerHIP", "LigerRecording", "LigerRuntime", "Platform")

# What only some places may say, and where. Paths are prefixes below the root.
RULES = (
    (
        "asks for the system outside of Platform",
        r"^\s*#(?:if|elseif)\b",
        ("Sources/Platform/", "Tests/TestSupport/"),
    ),
    (
        "asks which back end a device has",
        r"\b(?:as[?!]|is)\s+(?:any\s+)?(?:CPUBackend|CUDABackend|HIPBackend|DriverBackend|Recording)\b|\bcuda\s*[!=]=\s*nil|\b(?:if|guard)\s+(?:let|var)\s+cuda\b",
        (
            "Sources/LigerGPU/",
            "Sources/LigerCUDA/",
            "Sources/LigerHIP/",
            "Sources/LigerCPU/",
            "Sources/LigerRecording/",
            "Tests/",
        ),
    ),
    (
        "names what is NVIDIA's alone",
        r"\b(?:CUDA(?!Driver\b)\w+|CUBLASLt|CUDNN\w*|cudaDevices|graphLibrary|graphPlan)\b|\.cuda\(",
        (
            "Sources/LigerCUDA/",
            "Sources/LigerRuntime/Devices.swift",
            "Sources/LigerKernels/Attention/Flash",
            "Sources/LigerNN/Attention/AttentionMethod.swift",
            "Sources/LigerABI/",
            "Sources/LigerCatalogue/Diagnosis.swift",
            "Sources/LigerCatalogue/KernelTuning.swift",
            "Tests/",
        ),
    ),
    (
        "names what is AMD's alone",
        r"\b(?:HIP\w+|hipDevices|CodeObjectManager)\b|\.hip\(",
        (
            "Sources/LigerHIP/",
            "Sources/LigerRuntime/Devices.swift",
            "Sources/LigerABI/",
            "Sources/LigerCatalogue/Diagnosis.swift",
            "Tests/",
        ),
    ),
)

DECLARATION = re.compile(
    r"^(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|final|indirect|nonisolated(?:\(unsafe\))?)\s+)*"
    r"(?:struct|class|enum|protocol|actor|typealias|func|let|var)\s+(\w+)",
    re.M,
)
IMPORT = re.compile(r"^(?:@_exported\s+|@testable\s+)?(?:(?:public|package|internal)\s+)?import\s+(\w+)", re.M)


def code(text):
    """The source without comments, and without strings but for what is interpolated there."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    return re.sub(r'"(?:\\\((?P<inner>[^()]*(?:\([^()]*\)[^()]*)*)\)|\\.|[^"\\\n])*"', interpolations, text)


def interpolations(match):
    return " ".join(re.findall(r"\\\(([^()]*(?:\([^()]*\)[^()]*)*)\)", match.group(0)))


class File:
    def __init__(self, path, base):
        self.path = path
        self.folder = path.parent.relative_to(base).as_posix()
        self.text = path.read_text()
        source = code(self.text)
        self.declared = set(DECLARATION.findall(source))
        self.words = set(re.findall(r"\b\w+\b", source))
        self.imports = set(IMPORT.findall(source))


def read(base):
    return [File(path, base) for path in sorted(base.rglob("*.swift"))]


def edges(files):
    """The files that each file names something of. What two files declare is nobody's."""
    owners = {}
    for file in files:
        for name in file.declared:
            owners.setdefault(name, set()).add(file)
    owner = {name: next(iter(found)) for name, found in owners.items() if len(found) == 1}
    return {file: {owner[w] for w in file.words if w in owner} - {file} for file in files}


def circles(graph):
    """Sets of nodes that depend on each other, of two and more (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(group)

    sys.setrecursionlimit(10_000)
    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def folder_edges(files):
    found = {}
    for file, others in edges(files).items():
        found.setdefault(file.folder, set())
        for other in others:
            if other.folder != file.folder:
                found[file.folder].add(other.folder)
                found.setdefault(other.folder, set())
    return found


def targets():
    """Each target of Sources with its files."""
    return {path.name: read(path) for path in sorted((ROOT / "Sources").iterdir()) if any(path.rglob("*.swift"))}


def layers(graph):
    """Nodes by the length of the longest way down, each with what it needs that no other of these brings along."""
    height = {}

    def measure(node):
        if node not in height:
            height[node] = 0
            height[node] = 1 + max((measure(other) for other in graph[node]), default=-1)
        return height[node]

    def below(node):
        return set().union(*({other} | below(other) for other in graph[node]))

    for node in graph:
        measure(node)
    direct = {node: graph[node] - set().union(*(below(other) for other in graph[node])) for node in graph}
    return sorted(graph, key=lambda node: (height[node], node)), height, direct


def drawing(found):
    """The targets, lowest first, and the folders of those that are layered."""
    graph = {name: {i for file in files for i in file.imports if i in found} - {name} for name, files in found.items()}
    order, height, direct = layers(graph)
    lines = ["```text", "targets, lowest first; each with those that it stands on"]
    for name in order:
        needs = ", ".join(sorted(direct[name])) or "-"
        lines.append(f"{height[name]:>3}  {name:<15} {needs}")
    lines += ["", "folders within a target: each names only what stands above it"]
    for name in LAYERED:
        folders = folder_edges(found[name])
        if len(folders) < 2 or circles(folders):
            continue
        order, _, _ = layers(folders)
        lines.append(f"     {name:<15} " + " < ".join("(top)" if folder == "." else folder for folder in order))
    counts = {name: sum(map(len, circles(edges(found[name])))) for name in LAYERED}
    lines += ["", "files of these targets that are in circles, by the names that they use; none in the others"]
    lines += [f"     {name:<15} {count} of {len(found[name])}" for name, count in counts.items() if count]
    return "\n".join(lines + ["```", ""])


def problems(found):
    for name in LAYERED:
        for group in circles(folder_edges(found[name])):
            yield f"{name}: the folders {', '.join(sorted(group))} depend on each other"
    for top in ("Sources", "Tests"):
        for path in sorted((ROOT / top).rglob("*.swift")):
            relative = path.relative_to(ROOT).as_posix()
            for line, text in enumerate(code(path.read_text()).split("\n"), 1):
                for what, pattern, places in RULES:
                    if not relative.startswith(places) and re.search(pattern, text):
                        yield f"{relative}:{line} {what}: {text.strip()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--circles", nargs="+", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.circles:
        for folder in arguments.circles:
            files = read(folder)
            sizes = [len(group) for group in circles(edges(files))]
            print(f"{folder}: {sum(sizes)} of {len(files)} files in circles of {sizes}")
        return 0
    found = targets()
    drawn, faults = drawing(found), list(problems(found))
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    there, _, after = rest.partition(END)
    if arguments.write:
        DOCUMENT.write_text(before + BEGIN + drawn + END + after)
    elif arguments.check:
        if there != drawn:
            faults.append(f"{DOCUMENT.name} draws other dependencies. Run Scripts/dependencies.py --write")
    else:
        print(drawn, end="")
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
