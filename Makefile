# Everything lives in .venv; each target makes what it needs, and a second run finds it made.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := avgn_edge/packaged/sample.mp4

.PHONY: demo test lint types check clean

demo: .venv/.demo
	@$(BIN)/avgn-edge classify $(SAMPLE)

# In several processes. One that ran everything ended in a segmentation fault, always some time after tests/runtime, which
# opens hundreds of sessions of two engines: the cause is not found yet. So the files that no PART names, those of
# tests/runtime among them, have a process each. What is slow to make and never changed they share in a folder.
PART1 := tests/bundle tests/cli tests/datasets tests/evaluation
PART2 := tests/export tests/media tests/models
PART3 := tests/calibration
PART4 := tests/highlights tests/media_live tests/reports tests/streaming tests/synth
PART5 := tests/benchmarks tests/docs tests/examples
PARTS := $(PART1) $(PART2) $(PART3) $(PART4) $(PART5)
REST := $(sort $(filter-out $(addsuffix /%,$(PARTS)),$(wildcard tests/test_*.py tests/*/test_*.py)))

test: .venv/.test
	@set -e; share=$$(mktemp -d); trap 'rm -rf "$$share"' EXIT; export AVGN_EDGE_TEST_SHARE="$$share"; \
	for part in "$(PART1)" "$(PART2)" "$(PART3)" "$(PART4)" "$(PART5)" $(REST); do \
		echo "pytest $$part"; $(BIN)/python -m pytest $$part; \
	done

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
