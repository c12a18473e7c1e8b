"""Draws losses of `fp8_losses.py` as SVG: `python Benchmarks/fp8_losses_chart.py DATA.json CHART.svg`."""

import json
import statistics
import sys

from pathlib import Path

from line_chart import write

_WINDOW = 20


def draw(path, runs):
    """runs: (side, seed) to the losses of all steps. Losses are means of 20 steps."""
    lines = {}
    for (side, seed), losses in runs.items():
        width = min(_WINDOW, len(losses))
        means = [statistics.mean(losses[i : i + width]) for i in range(0, len(losses) - width + 1, width)]
        lines[f"{side}, seed {seed}"] = [(width * (i + 1), mean) for i, mean in enumerate(means)]
    seeds = sorted({seed for _, seed in runs})
    panels = []
    for seed in seeds:
        both = {name.split(",")[0]: line for name, line in lines.items() if name.endswith(f" {seed}")}
        panels.append((f"seed {seed}: loss, mean of {_WINDOW} steps", both))
    write(path, panels, "step")


if __name__ == "__main__":
    rows = json.loads(Path(sys.argv[1]).read_text())
    draw(sys.argv[2], {(side, seed): losses for side, seed, losses in rows})
