"""The documentation of the Swift modules by DocC, from the modules of a release build. Nothing is compiled anew."""

import concurrent.futures
import json
import os
import shutil
import subprocess

import pages

MODULES = ("Tile", "LigerRuntime", "LigerKernels", "LigerLosses", "LigerNN", "LigerText", "LigerModels", "LigerTrainer")
BUILT = pages.ROOT / ".build/release"


def extract(module, folder):
    """The symbol graph of a module's public declarations, those of modules that it exports among them."""
    folder.mkdir(parents=True)
    headers = (module_map.parent for module_map in sorted(BUILT.glob("*.build/module.modulemap")))
    includes = [part for path in (BUILT / "Modules", *headers) for part in ("-I", path)]
    run(
        "swift-symbolgraph-extract", "-module-name", module, *includes, "-target", target(),
        "-minimum-access-level", "public", "-skip-synthesized-members",
        "-experimental-allowed-reexported-modules=LigerArrays", "-output-dir", folder)  # fmt: skip


def target():
    info = subprocess.run(["swift", "-print-target-info"], capture_output=True, text=True, check=True).stdout
    return json.loads(info)["target"]["triple"]


def undocumented(folder):
    """Public declarations without a doc comment."""
    for file in sorted(folder.glob("*.symbols.json")):
        for symbol in json.loads(file.read_text())["symbols"]:
            is_own = "::SYNTHESIZED::" not in symbol["identifier"]["precise"]
            if is_own and symbol["accessLevel"] == "public" and "docComment" not in symbol:
                yield f"{file.stem.split('.')[0]}: {'.'.join(symbol['pathComponents'])} has no doc comment"


def convert(module, graphs, archive):
    """Gives the archive of a module; a warning of DocC's is an error."""
    catalogue = pages.ROOT / f"Sources/{module}/{module}.docc"
    run(
        "docc", "convert", *([catalogue] if catalogue.exists() else []), "--additional-symbol-graph-dir", graphs,
        "--fallback-display-name", module, "--fallback-bundle-identifier", f"swift-liger.{module}",
        "--hosting-base-path", "swift", "--warnings-as-errors", "--output-dir", archive)  # fmt: skip


def run(*command):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{result.stdout[-6000:]}\n{result.stderr[-6000:]}")


def build_module(module, scratch):
    """Gives a module's archive and the faults of its documentation."""
    graphs, archive = scratch / module, scratch / f"{module}.doccarchive"
    extract(module, graphs)
    convert(module, graphs, archive)
    return archive, list(undocumented(graphs))


def build(site, scratch):
    """Writes the pages below site/swift; gives the faults that were found."""
    if not (BUILT / "Modules/LigerTrainer.swiftmodule").exists():
        raise SystemExit("the Swift modules are not built: run `make build`")
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count(), 4)) as pool:
        made = list(pool.map(lambda module: build_module(module, scratch), MODULES))
    archives, faults = [archive for archive, _ in made], [fault for _, found in made for fault in found]
    shutil.rmtree(site / "swift", ignore_errors=True)
    run("docc", "merge", *archives, "--synthesized-landing-page-name", "swift-liger", "--output-path", site / "swift")
    return faults
