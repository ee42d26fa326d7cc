# Everything lives in .venv; each target makes what it needs, and a second run finds it made.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := avgn_edge/packaged/sample.mp4

.PHONY: demo test lint types check clean

demo: .venv/.demo
	@$(BIN)/avgn-edge classify $(SAMPLE)

test: .venv/.test
	$(BIN)/python -m pytest

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.test
	$(BIN)/mypy

check: lint types test

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The runtime alone, with ONNX Runtime on the CPU. (The build backend warns about editable installs as such.)
.venv/.demo: pyproject.toml | .venv/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cpu]'
	@touch $@

# Everything. The constraint names the PyTorch release, so that an index with a CPU build of it is used as it is.
.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ .venv/.demo

clean:
	rm -rf .venv build dist *.egg-info
