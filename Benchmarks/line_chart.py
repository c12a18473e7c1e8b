"""Line charts as SVG, both axes logarithmic, without a library for plots."""

import math

from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 440, 320, 62, 34, 18, 42
COLOURS = ["#c4432b", "#2b6cc4", "#2f8f4e", "#8a5cc2", "#b8860b"]


def write(path, panels, x_label):
    """panels: (title, {name of a line: [(x, y), ...]}) each; points whose y is None are left out."""
    names = list(dict.fromkeys(name for _, lines in panels for name in lines))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    parts = []
    for number, (title, lines) in enumerate(panels):
        parts.append(f'<g transform="translate({number * WIDTH} 0)">{panel(title, lines, colours, x_label)}</g>')
    parts.append(legend(names, colours))
    size = f'width="{WIDTH * len(panels)}" height="{HEIGHT + 30}"'
    style = "font-family: sans-serif; font-size: 12px"
    background = '<rect width="100%" height="100%" fill="white"/>'
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="{style}">')
        file.write(f"{background}{''.join(parts)}</svg>\n")


def panel(title, lines, colours, x_label):
    points = [(x, y) for line in lines.values() for x, y in line if y]
    if not points:
        return text(WIDTH / 2, TOP - 14, f"{title}: nothing measured")
    across = axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [text(WIDTH / 2, TOP - 14, title), text(WIDTH / 2, HEIGHT - 8, x_label)]
    for value in sorted({x for x, _ in points}):
        parts.append(rule(across(value), TOP, across(value), HEIGHT - BOTTOM))
        parts.append(text(across(value), HEIGHT - BOTTOM + 16, f"{value:g}"))
    for value in ticks([y for _, y in points]):
        parts.append(rule(LEFT, up(value), WIDTH - RIGHT, up(value)))
        parts.append(text(LEFT - 6, up(value) + 4, f"{value:,g}", "end"))
    for name, line in lines.items():
        places = [(across(x), up(y)) for x, y in line if y]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>' for x, y in places]
    return "".join(parts)


def axis(values, start, end):
    """A place for a value, in proportion to its logarithm."""
    low, high = math.log(min(values)), math.log(max(values))
    span = high - low or 1.0
    return lambda value: start + (math.log(value) - low) / span * (end - start)


def ticks(values):
    """1, 2 and 5 times powers of ten between the least and the largest value; fewer where they are many decades."""
    low, high = min(values), max(values)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) < 5 else (1,)
    return [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]


def legend(names, colours):
    parts, x = [], LEFT
    for name in names:
        parts.append(f'<rect x="{x}" y="{HEIGHT + 8}" width="14" height="4" fill="{colours[name]}"/>')
        parts.append(text(x + 20, HEIGHT + 15, name, "start"))
        x += 40 + 7 * len(name)
    return "".join(parts)


def rule(x1, y1, x2, y2):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def text(x, y, content, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'
