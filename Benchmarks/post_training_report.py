"""Tables and the plot of `post_training_on_gpu.py`: rows by (side, case)."""

import line_chart


def shown(row):
    if row is None or "error" in row:
        return "failed" if row is None else row["error"]
    forward, both = (f"{middle:.3g} (±{spread:.2g})" for middle, spread in (row["forward"], row["both"]))
    return f"{forward}, {both}" + ("" if row["peak"] is None else f", {row['peak']:,.0f} MiB")


def table(title, cases, sides, found):
    print(f"\n| {title} | " + " | ".join(sides) + " |\n|---|" + "---:|" * len(sides))
    for case in cases:
        print(f"| {case} | " + " | ".join(shown(found.get((side, case))) for side in sides) + " |", flush=True)


def plot(path, lengths, sides, found):
    def line(side, value):
        rows = [(length, found.get((side, f"length {length}"), {})) for length in lengths]
        return [(length, value(row) if "both" in row else None) for length, row in rows]

    panels = [
        ("ORPO, forward and backward, ms", {side: line(side, lambda row: row["both"][0]) for side in sides}),
        ("peak memory above inputs and gradients, MiB", {side: line(side, lambda row: row["peak"]) for side in sides}),
    ]
    line_chart.write(path, panels, "tokens of each of 8 answers")
    print(f"\nwrote {path}")
