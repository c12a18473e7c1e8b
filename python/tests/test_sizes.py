"""That files and functions are short and hardly a line stands twice."""

import importlib.util
import subprocess
import sys

from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "Scripts/sizes.py"


@pytest.fixture
def sizes():
    specification = importlib.util.spec_from_file_location("sizes", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_sources_are_short():
    result = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


BODY = "    x += 1\n" * 3
FUNCTIONS = {
    "Swift": f"""struct S {{
  /// func not(
  func a<T>(_ b: (T) -> Void = {{ _ in }}) throws -> [Int: T]
  where T: P {{
{BODY}  }}
  init?(b: Int = "}}{{".count) {{
{BODY}  }}
}}
protocol P {{
  func f() -> Int

  func g()
  var x: Int {{ get }}
}}
""",
    "C": f'// f(void) {{\nstatic int a(int b,\n    int c) {{\n  char *d = "}}";\n{BODY}}}\nint e(void);\n',
    "Python": f"def a():\n{BODY}\n\nasync def b(\n    c,\n):\n{BODY}",
}
LENGTHS = {"Swift": [(3, 6), (9, 5)], "C": [(2, 7)], "Python": [(1, 4), (7, 6)]}


@pytest.mark.parametrize("language", FUNCTIONS)
def test_functions_are_measured(sizes, language):
    assert sorted(sizes.functions(FUNCTIONS[language], language)) == LENGTHS[language]


def swift(lines):
    return "enum E {\n  func f() {\n" + "    g()\n" * (lines - 2) + "  }\n}\n"


TOO_LONG = {
    "a.py has 401 lines": ("a.py", lambda lines: "\n" * lines, 400),
    "a.c:1 a function of 61 lines": ("a.c", lambda lines: "int f(void) {\n" + "  g();\n" * (lines - 2) + "}\n", 60),
    "a.swift:2 a function of 61 lines": ("a.swift", swift, 60),
    "a.py:1 a function of 61 lines": ("a.py", lambda lines: "def f():\n" + "    g()\n" * (lines - 1), 60),
}


@pytest.mark.parametrize("fault", TOO_LONG)
def test_what_is_too_long_is_found(sizes, tmp_path, fault):
    name, make, most = TOO_LONG[fault]
    for lines in (most, most + 1):
        (tmp_path / name).write_text(make(lines))
        faults = [each for language in sizes.LANGUAGES for each in sizes.measured(tmp_path, language)[1]]
        assert any(each.startswith(fault) for each in faults) == (lines > most), faults


@pytest.mark.parametrize("count, repeated", [(5, 0), (6, 12)])
def test_lines_that_stand_twice_are_counted(sizes, tmp_path, count, repeated):
    """Whatever stands between them that is no code."""
    twice = [f"let x{i} = {i}" for i in range(count)]
    (tmp_path / "a.swift").write_text("import A\n" + "\n".join(twice))
    (tmp_path / "b.swift").write_text("\n// why\n}\n".join(["let y = 0", *(f"  {line}" for line in twice)]))
    assert sizes.repetitions(sizes.files(tmp_path, "Swift"), "Swift")[:2] == (2 * count + 1, repeated)
