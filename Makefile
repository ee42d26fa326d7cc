# Everything lives in .venv; each target makes what it needs, and a second run finds it made.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := avgn_edge/packaged/sample.mp4

.PHONY: demo test lint types check clean

demo: .venv/.demo
	@$(BIN)/avgn-edge classify $(SAMPLE)

# In several processes. One that ran everything ended in a segmentation fault, always some time after tests/runtime, which
# opens hundreds of sessions of two engines: the cause is not found yet. So the files that no PART names, those of
# tests/runtime among them, have a process each.
PART1 := tests/bundle tests/cli tests/datasets tests/evaluation
PART2 := tests/export tests/media tests/models
PART3 := tests/calibration
REST := $(sort $(filter-out $(addsuffix /%,$(PART1) $(PART2) $(PART3)),$(wildcard tests/test_*.py tests/*/test_*.py)))

test: .venv/.test
	$(BIN)/python -m pytest $(PART1)
	$(BIN)/python -m pytest $(PART2)
	$(BIN)/python -m pytest $(PART3)
	set -e; for file in $(REST); do $(BIN)/python -m pytest $$file; done

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
