"""The picture of README.md: training speed and memory, from the table of Documentation/Measured.md.

    python Scripts/docs/chart.py            writes Documentation/training.svg
    python Scripts/docs/chart.py --check    fails where the file is not what the table gives
"""

import re
import sys

from pathlib import Path
from xml.sax.saxutils import escape

DOCUMENTATION = Path(__file__).resolve().parents[2] / "Documentation"
TARGET = DOCUMENTATION / "training.svg"
# What is drawn of the table: model, and batch x sequence.
ROWS = [("Llama-3-8B", "8x4096"), ("Qwen3-0.6B", "4x2048"), ("Qwen3-0.6B", "1x2048")]
HEADER = "| model | batch x sequence | Hugging Face | Liger-Kernel | ours |"
SIDES = [("Hugging Face", "#9aa3ad"), ("Liger-Kernel 0.8.5", "#2b6cc4"), ("swift-liger", "#c4432b")]
PANELS = [("tokens per second (longer is better)", "{:,.0f}"), ("peak GPU memory, GiB (shorter is better)", "{:.1f}")]
WIDTH, BAR, GAP, TOP, LEFT = 360, 15, 14, 64, 14


def measured(page):
    """(model, size) -> three pairs of tokens/s and GiB."""
    if HEADER not in page:
        sys.exit(f"Documentation/Measured.md has no table that begins with\n{HEADER}")
    rows = {}
    for line in page.split(HEADER)[1].splitlines()[2:]:
        if not line.startswith("|"):
            break
        model, size, *sides = [cell.strip() for cell in line.strip("|").split("|")]
        found = [re.fullmatch(r"([\d,]+) tok/s, ([\d.]+) GiB", side) for side in sides]
        if all(found):
            rows[model, size] = [(float(m[1].replace(",", "")), float(m[2])) for m in found]
    return rows


def text(x, y, content, more=""):
    return f'<text x="{x:g}" y="{y:g}" {more}>{escape(content)}</text>'


def panel(number, rows):
    title, form = PANELS[number]
    parts, y = [text(LEFT, TOP - 8, title, 'font-weight="bold"')], TOP + 10
    for row in ROWS:
        values = [side[number] for side in rows[row]]
        parts.append(text(LEFT, y + 6, f"{row[0]}, {row[1].replace('x', ' x ')} tokens", 'fill="#555"'))
        y += 12
        for value, (_, colour) in zip(values, SIDES):
            length = value / max(values) * (WIDTH - 90)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            parts.append(text(LEFT + length + 5, y + BAR - 4, form.format(value)))
            y += BAR
        y += GAP
    return "".join(parts), y


def chart(rows):
    parts, height = [], 0
    for number in range(len(PANELS)):
        drawn, height = panel(number, rows)
        parts.append(f'<g transform="translate({number * WIDTH} 0)">{drawn}</g>')
    x = LEFT
    for name, colour in SIDES:
        parts.append(f'<rect x="{x}" y="16" width="14" height="12" fill="{colour}"/>' + text(x + 20, 26, name))
        x += 50 + 7 * len(name)
    size = f'width="{WIDTH * len(PANELS)}" height="{height}"'
    style = "font-family: sans-serif; font-size: 12px"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def main():
    drawn = chart(measured((DOCUMENTATION / "Measured.md").read_text()))
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != drawn:
            sys.exit("Documentation/training.svg is not what Measured.md gives: run Scripts/docs/chart.py")
    else:
        TARGET.write_text(drawn)


if __name__ == "__main__":
    main()
