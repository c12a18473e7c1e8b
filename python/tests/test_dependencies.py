"""That the Swift sources depend on each other in the directions that the documentation draws."""

import importlib.util
import subprocess
import sys

from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "Scripts/dependencies.py"


@pytest.fixture
def dependencies():
    specification = importlib.util.spec_from_file_location("dependencies", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_sources_are_as_drawn():
    result = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def tree(folder, **texts):
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.swift"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_circles_are_found(dependencies, tmp_path):
    tree(
        tmp_path,
        Low__A="struct A { let text = \"C\" } // B",
        Low__B="package enum B { case a(A) }",
        High__C="final class C { var b: B?; let text = \"of \\(D.self)\" }",
        High__D="func make() -> C { C() }\nstruct D {}",
    )
    files = dependencies.read(tmp_path)
    graph = {f.path.stem: {o.path.stem for o in others} for f, others in dependencies.edges(files).items()}
    assert graph == {"A": set(), "B": {"A"}, "C": {"B", "D"}, "D": {"C"}}
    assert [sorted(f.path.stem for f in group) for group in dependencies.circles(dependencies.edges(files))] == [
        ["C", "D"]
    ]
    assert dependencies.folder_edges(files) == {"Low": set(), "High": {"Low"}}


@pytest.mark.parametrize(
    "place, line",
    [
        ("Sources/LigerKernels/X.swift", "#if canImport(Darwin)"),
        ("Sources/LigerLosses/X.swift", "if device.backend is CUDABackend {}"),
        ("Sources/LigerNN/X.swift", "guard let cuda = try? device.cuda(\"x\") else { return }"),
        ("Sources/LigerArrays/X.swift", "let stream: CUDAStream"),
    ],
)
def test_rules_are_held(dependencies, monkeypatch, tmp_path, place, line):
    (tmp_path / "Tests").mkdir()
    tree(tmp_path, **{place.removesuffix(".swift").replace("/", "__"): f"struct X {{}}\n{line}\n"})
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    monkeypatch.setattr(dependencies, "LAYERED", ())
    faults = list(dependencies.problems({}))
    assert faults and all(fault.startswith(f"{place}:2 ") for fault in faults)
