# `make train` runs the main job, `make test` passes the tests; both install what is missing first.

LIGER = .build/release/liger

.PHONY: train test build library wheel hub-kernels setup setup-python format benchmark site clean

# Goes on where an earlier `make train` was stopped; when the sources, its text, have changed since, a new run
# starts beside it.
train: build
	$(LIGER) train --steps 1000 --lr 2e-3 --out runs/demo --resume --new-if-different
	$(LIGER) compare

# Scripts/test installs what is missing itself, while it builds.
test:
	Scripts/test

build: setup
	swift build -c release --product liger

# The library of the Python package, into its sources, where an editable install finds it.
library: setup-python
	.venv/bin/python setup.py --quiet build_py --build-lib .build/python/package

# A wheel that needs neither Swift nor a compiler; LIGER_NIGHTLY=1 dates its version.
wheel: setup-python
	.venv/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

# The kernels in the layout of the Hub's `kernels` package, for a repository there or `KernelConfig` of transformers.
hub-kernels: library
	.venv/bin/python Scripts/hub_kernels.py dist/hub/liger-kernels

setup:
	Scripts/setup

setup-python: setup
	Scripts/setup python

# The table of Documentation/Measured.md, beside PyTorch on the same cores.
benchmark: setup-python build
	.venv/bin/python Benchmarks/compare_with_torch.py

# The documentation as a site in .build/site: pages, the Python API from docstrings, the Swift API by DocC.
site: build library
	PYTHONPATH=python/src .venv/bin/python Scripts/docs/build_site.py

format:
	swift format -i -r Sources Tests Examples Package.swift

clean:
	rm -rf .build runs
