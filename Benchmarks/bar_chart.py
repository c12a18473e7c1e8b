"""Bars as SVG, without a library for plots."""

from xml.sax.saxutils import escape

WIDTH, BAR, LEFT, TOP = 640, 18, 230, 34


def write(path, title, bars):
    """bars: (name, value) each, drawn from above in this order, the longest over the whole width."""
    most = max(value for _, value in bars)
    height = TOP + BAR * len(bars) + 10
    parts = [f'<text x="{WIDTH / 2:g}" y="18" text-anchor="middle" font-weight="bold">{escape(title)}</text>']
    for number, (name, value) in enumerate(bars):
        y, length = TOP + BAR * number, value / most * (WIDTH - LEFT - 60)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 4}" fill="#2b6cc4"/>')
        parts.append(f'<text x="{LEFT + length + 5:.1f}" y="{y + 12}">{value:.0f}</text>')
    style = "font-family: sans-serif; font-size: 12px"
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" style="{style}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n')
