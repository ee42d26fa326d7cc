"""Every command in the README and in the guides is run, as it stands there, by a shell, in a folder with what it names.

A block fenced with ```sh is run. The comment before it may say otherwise: `<!-- not run: why -->`, or
`<!-- run with: options -->`, which are added to the block's first line because what stands there takes long.
`docs/results/` is left out: its commands need recordings that are not in the repository, and say how they were run.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = Path(str(resources.files("avgn_edge"))) / "packaged" / "sample.mp4"
FENCE = re.compile(r"(?:^<!--(?P<note>[^>]*)-->\n)?^```sh\n(?P<script>.*?)^```$", re.MULTILINE | re.DOTALL)
CLIPS = 8
"""Of the set that commands call `digits`."""


@dataclass(frozen=True)
class Block:
    """A fenced block of commands."""

    document: Path
    line: int
    script: str
    not_run: str | None

    def __str__(self):
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks_of(document):
    text = document.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        note = (found["note"] or "").strip()
        verb, _, rest = note.partition(":")
        if note and verb not in {"not run", "run with", "test command"}:
            raise AssertionError(f"{document.name}: a comment before a block says {note!r}, which means nothing here")
        script = found["script"]
        if verb == "run with":
            first, *others = script.splitlines()
            script = "\n".join([first.partition("#")[0] + rest, *others])
        not_run = (
            rest.strip() if verb == "not run" else "the tests would run themselves" if verb == "test command" else None
        )
        yield Block(document, text[: found.start("script")].count("\n") + 1, script, not_run)


RESULTS = ROOT / "docs" / "results"
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if RESULTS not in path.parents),
]
BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


@pytest.fixture(scope="module")
def things(tiny_bundle, tiny_model, tmp_path_factory):
    """What the documents name, made once: clips, a set to learn from, a checkpoint and a bundle of it."""
    from avgn_edge.architectures.avgn.network.checkpoint import save

    folder = tmp_path_factory.mktemp("things")
    for name in ("clip.mp4", "a.mp4", "b.mp3", "clips/one.mp4", "clips/more/two.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SAMPLE, folder / name)
    digits = tuple(str(digit) for digit in range(len(tiny_model.settings.labels)))  # some of those of the set
    model = copy.deepcopy(tiny_model)
    model.settings = replace(model.settings, labels=digits)
    save(model, folder / "checkpoint.safetensors")
    shutil.copytree(tiny_bundle.path, folder / "my-bundle")
    manifest = folder / "my-bundle" / "manifest.json"
    written = json.loads(manifest.read_text())
    written["labels"] = list(digits)
    manifest.write_text(json.dumps(written))
    (folder / "examples").symlink_to(ROOT / "examples")
    run(f"avgn-edge synth -o digits --clips {CLIPS} --seed 1", folder)
    return folder


def run(script, folder):
    """Run a block as a shell would; what it wrote is in the failure."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": beside},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, (
        f"exit code {done.returncode}\n{script}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_work_one_after_the_other(document, things, tmp_path):
    blocks = [block for block in BLOCKS if block.document == document and block.not_run is None]
    if not blocks:
        return
    folder = tmp_path / "desk"
    shutil.copytree(things, folder, symlinks=True)
    for block in blocks:
        run(block.script, folder)


def test_blocks_that_are_not_run_say_why():
    assert all(block.not_run for block in BLOCKS if block.not_run is not None)
    assert sum(block.not_run is None for block in BLOCKS) > len(BLOCKS) / 2


def _options(*command):
    shown = subprocess.run(
        [sys.executable, "-m", "avgn_edge", *command, "--help"], capture_output=True, encoding="utf-8", check=True
    ).stdout
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", shown))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_inside_sentences_and_blocks_that_are_not_run_have_the_options_they_show(document):
    text = document.read_text(encoding="utf-8")
    shown = [*re.findall(r"`(avgn-edge [^`]+)`", text), *re.findall(r"^avgn-edge [^#\n]*", text, re.MULTILINE)]
    known = {}
    for line in shown:
        words = shlex.split(line.partition(">")[0], comments=True)
        command = words[1]
        if command.startswith("-"):
            continue
        if command not in known:
            known[command] = _options(command) | {"--debug"}
        for word in words[2:]:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in known[command], f"{document.name}: {line}"
