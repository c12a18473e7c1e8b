"""Writes the table of Unicode's compatibility decompositions, which the standard library of Swift lacks.

    python3 Scripts/compatibility_table.py > Sources/LigerText/Normalizing/CompatibilityTable.swift

The data is that of Python's unicodedata. Characters whose form KD differs from their form D have their form KD in
the table. Neighbours with neighbouring targets are one entry.
"""

import sys
import textwrap
import unicodedata

HEAD = '''/// Compatibility decompositions, made by Scripts/compatibility_table.py.
///
/// `A0:20` says that U+00A0 decomposes to U+0020; `2100:61,2F,63` that U+2100 does to three characters; and
/// `FF01+94:21` that U+FF01 and the 93 behind it decompose to U+0021 and those behind it.
enum CompatibilityTable {
    static let entries = """
'''
TAIL = '''        """
}
'''


def main() -> None:
    entries: list[list[int]] = []  # first, count, targets...
    for value in range(sys.maxunicode + 1):
        if 0xD800 <= value < 0xE000:
            continue
        target = unicodedata.normalize("NFKD", chr(value))
        if target == unicodedata.normalize("NFD", chr(value)):
            continue
        codes = [ord(one) for one in target]
        last = entries[-1] if entries else [0, 0]
        if len(codes) == 1 == len(last) - 2 and value == last[0] + last[1] and codes[0] == last[2] + last[1]:
            last[1] += 1
        else:
            entries.append([value, 1, *codes])
    words = [f"{first:X}" + (f"+{count}" if count > 1 else "") + ":" + ",".join(f"{one:X}" for one in targets)
             for first, count, *targets in entries]
    lines = textwrap.wrap(" ".join(words), 100, break_on_hyphens=False, break_long_words=False)
    sys.stdout.write(HEAD + "".join(f"        {line}\n" for line in lines) + TAIL)


if __name__ == "__main__":
    main()
