"""The table of Hugging Face families that Python patches, from the rows of `families.py`.

    python Scripts/docs/patched_families.py            writes it into Documentation/PatchedFamilies.md
    python Scripts/docs/patched_families.py --check    fails where the page has another table

It needs neither PyTorch nor transformers: the rows are plain data.
"""

import sys

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "Documentation/PatchedFamilies.md"
HEADER = "| `apply_liger_kernel_to_...` | `model_type` | rotary embedding | norms | gated unit | loss |\n|---|---|---|---|---|---|\n"
BEGIN, END = "<!-- made by Scripts/docs/patched_families.py -->\n", "<!-- end of the table -->\n"


def families():
    sys.path.insert(0, str(ROOT / "python/src"))
    from liger_kernel.transformers import families

    return families


def switched(flags, switch, names):
    """Names of kernels; in brackets where their switch is off by default."""
    return [name if flags.get(switch) else f"({name})" for name in names if switch in flags]


def rope(parts, flags):
    return switched(flags, "rope", ["yes"] if any(part.rope for part in parts) else [])


def norms(parts, flags):
    found = switched(flags, "rms_norm", ["RMSNorm"] if any(part.norms for part in parts) else [])
    return found + switched(flags, "layer_norm", ["LayerNorm"] if parts[0].layer_norms else [])


def units(parts, flags):
    kernels = [kernel for part in parts for kernel in part.mlps.values()]
    kinds = {"geglu": "GeGLU"} if any("GEGLU" in kernel for kernel in kernels) else {}
    if any("GEGLU" not in kernel for kernel in kernels):
        kinds["swiglu"] = "SwiGLU"
    found = [name for switch, kind in kinds.items() for name in switched(flags, switch, [kind])]
    found += switched(flags, "swiglu", ["experts"] if any(part.experts for part in parts) else [])
    return found + switched(flags, "relu_squared", ["ReLU squared"] if parts[0].activations else [])


def loss(row):
    if not row.heads:
        return []
    return ["fused with the head"] if row.flags.get("fused_linear_cross_entropy") else ["cross entropy"]


def cells(row, by_name):
    """A row of the table: its kernels, with those of the families that its parts belong to."""
    parts = [row, *(by_name[name] for name in row.towers)]
    own = [rope(parts, row.flags), norms(parts, row.flags), units(parts, row.flags), loss(row)]
    if row.tower_configs:
        own = [[*cell, "its parts'"] for cell in own[:-1]] + own[-1:]
    types = ", ".join(f"`{name}`" for name in row.model_types)
    return [f"`{row.name}`", types, *(", ".join(cell) or "-" for cell in own)]


def table():
    """The table, between its two comments."""
    module = families()
    rows = [cells(row, module.BY_NAME) for row in module.FAMILIES]
    return BEGIN + HEADER + "".join(f"| {' | '.join(row)} |\n" for row in rows) + END


def faults():
    """What of the page is not what the rows give."""
    if not PAGE.exists() or table() not in PAGE.read_text():
        yield "Documentation/PatchedFamilies.md has not the rows of families.py: run Scripts/docs/patched_families.py"


def main():
    if "--check" in sys.argv:
        sys.exit("\n".join(faults()) or None)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        sys.exit(f"{PAGE.name} has no comments that the table stands between")
    PAGE.write_text(before + table() + after)


if __name__ == "__main__":
    main()
