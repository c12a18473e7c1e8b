"""Measures a card and writes a page about it: tables, plots, and with what they were made.

    python Benchmarks/card_report.py --out Documentation/cards/h200           on a GPU: some two minutes
    python Benchmarks/card_report.py --quick --device cpu --out report        seconds: shows that all parts work

It needs `liger` and Python, no package. Kernels are timed in two processes one after the other, and both figures stand
in the table: what they differ by is the spread that other figures of the page have too. Parts that fail are named with
their error.
"""

import argparse
import datetime
import json
import platform
import re
import subprocess
import tempfile

from pathlib import Path

import bar_chart
import line_chart


class Sizes:
    """What is measured: enough to say something about a card, or little."""

    def __init__(self, quick):
        self.quick = quick
        self.dtype = ["--dtype", "f32" if quick else "bf16"]
        self.operations = ["RMSNorm", "SwiGLU"] if quick else []
        self.bench = ["--rows", "16", "--columns", "64", "--rounds", "2"] if quick else [
            "--rows", "8192", "--rounds", "9"]  # fmt: skip
        self.lengths = [32, 64] if quick else [1024, 2048, 4096, 8192, 16384]
        self.head = ["--columns", "64", "--hidden", "32", "--vocabulary", "256"] if quick else [
            "--hidden", "4096", "--vocabulary", "128256"]  # fmt: skip
        self.model = ["--model", "tiny", "--batch", "4", "--seq", "64"] if quick else [
            "--model", "llama-3.2-1b", "--batch", "8", "--seq", "4096", "--masters", "none", "--moments", "bf16",
            "--gradients", "bf16"]  # fmt: skip
        self.steps = "3" if quick else "8"
        self.budgets = ["56MiB", "80MiB"] if quick else ["16GiB", "24GiB", "32GiB", "48GiB", "64GiB"]


LOSSES = ["FusedLinearCrossEntropy", "LinearCrossEntropy"]


class Liger:
    """The command on a device, with what failed."""

    def __init__(self, program, device):
        self.program, self.device = program, device
        self.commands, self.failures = [], []

    def lines(self, *words):
        """The JSON objects that a command prints; none if it fails."""
        command = [self.program, *words, "--device", self.device, "--json"]
        self.commands.append(" ".join(["liger", *command[1:]]))
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            self.failures.append((self.commands[-1], last))
            return []
        return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def machine(program):
    """What the figures are of."""
    def said(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()
        except FileNotFoundError:
            return ""

    card = said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").splitlines()
    found = [json.loads(line) for line in said(program, "doctor", "--json").splitlines()]
    rows = {"date": datetime.date.today().isoformat(), "card and driver": card[0] if card else "no GPU",
            "liger": said(program, "--version"), "system": f"{platform.system()} {platform.machine()}"}  # fmt: skip
    for row in found:
        if row["usable"] and row["subject"] in ("matrix products", "cuBLASLt", "cuDNN", "device cpu"):
            rows[row["subject"]] = row["detail"].split("/")[-1]
    return rows


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def digits(value):
    """Three of them: 3,730 or 35.2."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def time(row):
    return f"{row['milliseconds']:.4g} (±{100 * row['spread']:.0f}%)"


def kernels(liger, sizes, out):
    """Every operation, compared with a copy of memory, in two processes."""
    only = ["--operation", *sizes.operations] if sizes.operations else []
    words = ["bench", *only, *sizes.bench, *sizes.dtype]
    first, second = ({row["operation"]: row for row in liger.lines(*words)} for _ in range(2))
    rows = [(first[name], second[name]) for name in first if name in second]
    if not rows:
        return "Nothing was measured.\n"
    bars = [(a["operation"], 100 * a["shareOfCopy"]) for a, _ in rows if a["operation"] != "copy"]
    bar_chart.write(out / "kernels.svg", "share of a copy's rate, % (longer is better)", bars)
    apart = max(abs(a["milliseconds"] / b["milliseconds"] - 1) for a, b in rows)
    cells = [
        [a["operation"], a["shape"], time(a), time(b), digits(a["gigabytesPerSecond"]),
         f"{100 * a['shareOfCopy']:.0f}%"]
        for a, b in rows
    ]  # fmt: skip
    head = ["operation", "shape", "ms", "ms, second process", "GB/s", "of copy"]
    return (
        "Forward and backward, cold caches, medians; half of the runs lie within the ±.\n"
        f"The two processes differ by up to {100 * apart:.0f}%. Operations that multiply matrices are not bound by "
        "memory,\nso their share of a copy's rate says little.\n\n"
        f"![Share of a copy's rate](kernels.svg)\n\n{table(head, cells)}"
    )


def losses(liger, sizes, out):
    """A linear layer with cross entropy over the number of tokens: time and memory."""
    found = {name: [] for name in LOSSES}
    for length in sizes.lengths:
        words = ["bench", "--operation", *LOSSES, *sizes.head, "--rows", str(length), "--rounds", "5", *sizes.dtype]
        for row in liger.lines(*words):
            if row["operation"] in found:
                found[row["operation"]].append((length, row))
    panels = [
        (title, {name: [(length, value(row)) for length, row in rows] for name, rows in found.items()})
        for title, value in [
            ("ms", lambda row: row["milliseconds"]), ("memory, MiB", lambda row: row["peakBytes"] / 2**20)]
    ]  # fmt: skip
    line_chart.write(out / "losses.svg", panels, "tokens")
    cells = [
        [name, f"{length:,}", time(row), f"{row['peakBytes'] / 2**20:,.1f}"]
        for name, rows in found.items() for length, row in rows
    ]  # fmt: skip
    return f"![Time and memory over tokens](losses.svg)\n\n{table(['loss', 'tokens', 'ms', 'MiB'], cells)}"


def budgets(liger, sizes, out):
    """Training by memory budget: tokens/s, and what arrays took."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text("The kernel reads a row of the tile and writes it. " * 20_000)
        for budget in sizes.budgets:
            found = liger.lines(
                "train", *sizes.model, *sizes.dtype, "--data", str(text), "--steps", sizes.steps,
                "--eval-fraction", "0", "--save-every", "0", "--recompute", "auto", "--memory-budget", budget,
                "--out", f"{folder}/{budget}")  # fmt: skip
            rows += [(budget, row["summary"]) for row in found if "summary" in row]
    points = [(row["peak_array_bytes"] / 2**30, row["tokens_per_second"]) for _, row in rows]
    line_chart.write(out / "budgets.svg", [("tokens/s over GiB in arrays", {"liger train": points})], "GiB")
    cells = [
        [budget, f"{row['peak_array_bytes'] / 2**30:.2f}", f"{row['tokens_per_second']:,.0f}"] for budget, row in rows]
    shape = " ".join(sizes.model + sizes.dtype)
    return f"`{shape}`\n\n![Speed over memory](budgets.svg)\n\n{table(['budget', 'GiB', 'tokens/s'], cells)}"


def page(title, liger, parts, facts):
    about = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    made = "Made by `Benchmarks/card_report.py`; not by hand. Compare figures within one table only.\n"
    text = [f"# {title}\n", made, f"| what | |\n|---|---|\n{about}\n"]  # fmt: skip
    text += [f"## {name}\n\n{body}" for name, body in parts.items()]
    if liger.failures:
        failed = "\n".join(f"* `{command}`: {last}" for command, last in liger.failures)
        text.append(f"## What failed\n\n{failed}\n")
    shown = re.sub(rf"{tempfile.gettempdir()}/\w+", "FOLDER", "\n".join(dict.fromkeys(liger.commands)))
    return "\n".join(text) + f"\n## Commands\n\n```text\n{shown}\n```\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder of the page and its plots")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--liger", default="liger", help="the program")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all parts work")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    liger, sizes, facts = Liger(given.liger, given.device), Sizes(given.quick), machine(given.liger)
    title = facts["card and driver"].split(",")[0] if given.device != "cpu" else "A processor"
    parts = {}
    for name, measure in [("Kernels", kernels), ("Losses over length", losses), ("Speed over memory", budgets)]:
        parts[name] = measure(liger, sizes, given.out)
        # At once: a machine may be taken away.
        (given.out / "README.md").write_text(page(title, liger, parts, facts))
    print(f"wrote {given.out}/README.md, {len(liger.failures)} commands failed")
    raise SystemExit(1 if liger.failures else 0)


main()
