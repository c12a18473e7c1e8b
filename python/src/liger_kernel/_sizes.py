"""Sizes of memory as users write them: bytes, or text such as "80GiB"."""

import re

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def bytes_of(size):
    """The bytes that a text says, which may be a fraction; anything else, and a text that is no size, as it is."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]*)\s*", size) if isinstance(size, str) else None
    return float(found[1]) * _UNITS[found[2].lower()] if found and found[2].lower() in _UNITS else size
