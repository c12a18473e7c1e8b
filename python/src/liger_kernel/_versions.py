"""The oldest releases of other packages that this one is tested with; `pyproject.toml` states the same."""

import re

OLDEST = {"torch": "2.4", "transformers": "4.57"}


def require(package, found):
    """Raises ImportError where a package's version is older than what is supported."""
    oldest = OLDEST[package]
    if is_before(oldest, found):
        raise ImportError(
            f"liger_kernel needs {package} {oldest} or later; found {package} {found}. "
            f"Upgrade it: pip install '{package}>={oldest}'"
        )


def is_before(version, found):
    """Whether a found version is older than another, by major and minor."""
    return _numbers(found) < _numbers(version)


def _numbers(version):
    """Major and minor of a version, as numbers."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
