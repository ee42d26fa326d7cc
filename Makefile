# Everything lives in .venv; each target makes what it needs, and a second run finds it made.
PYTHON ?= python3
BIN := .venv/bin
SAMPLE := avgn_edge/packaged/sample.mp4
# A file's tests stay in one process, so that what they share is made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

.PHONY: demo test test-all lint types docs check lock clean

demo: .venv/.demo
	@$(BIN)/avgn-edge classify $(SAMPLE)

test: .venv/.test
	$(PYTEST)

# What is dear besides: real presets, trainings as documented, every command of the guides, damaged files.
test-all: test
	$(PYTEST) -m slow

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.test
	$(BIN)/mypy

# The site, in site/; a link that leads nowhere fails.
docs: .venv/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

check: lint types test

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The runtime alone, with ONNX Runtime on the CPU. (The build backend warns about editable installs as such.)
.venv/.demo: pyproject.toml | .venv/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cpu]'
	@touch $@

# Everything, in the versions of the lock file.
.venv/.test: pyproject.toml constraints.txt | .venv/bin/python
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ .venv/.demo

# The lock file again, with the newest versions for every Python that is supported.
lock: .venv/.test
	UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.10 --extra dev \
		--no-annotate --custom-compile-command 'make lock' --output-file constraints.txt pyproject.toml

clean:
	rm -rf .venv build dist site *.egg-info
