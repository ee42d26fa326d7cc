"""What only a real process shows: pipes, signals, and an environment without PyTorch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import avgn_edge
from avgn_edge.cli.main import COMMANDS

RUN = [sys.executable, "-m", "avgn_edge"]
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "onnx", "onnxscript", "scipy", "PIL", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def without_torch(tmp_path):
    """An environment in which the packages of `export` and `train` cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_the_module_runs_as_the_command_does():
    done = subprocess.run([*RUN, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"avgn-edge {avgn_edge.__version__}\n"


LOADED = """
import sys
from avgn_edge.cli.main import main
for line in sys.argv[1:]:
    main(line.split())
print(*sys.modules)
"""


def loaded_by(*lines, env=None):
    """Run commands in one new process; return the modules that are loaded in the end."""
    done = subprocess.run([sys.executable, "-c", LOADED, *lines], capture_output=True, text=True, env=env, check=True)
    assert "Traceback" not in done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_what_runs_no_command_loads_none():
    loaded = loaded_by("--help", "--version", "--wrong", "clasify")
    assert not loaded & {"numpy", "av", "rich", "multiprocessing"}
    assert not loaded & {f"avgn_edge.cli.{name}" for name in COMMANDS}


def test_wrong_usage_of_classify_waits_for_neither_numpy_nor_pyav():
    loaded = loaded_by("classify --help", "classify x --wrong")
    assert "avgn_edge.cli.classify" in loaded
    assert not loaded & {"numpy", "av", "rich", *(f"avgn_edge.cli.{name}" for name in COMMANDS if name != "classify")}


def test_the_help_of_a_command_needs_no_extra(without_torch):
    loaded = loaded_by(*(f"{name} --help" for name in COMMANDS), env=without_torch)
    assert {f"avgn_edge.cli.{name}" for name in COMMANDS} <= loaded


def test_the_runtime_needs_neither_torch_nor_onnx_nor_scipy(bundle, media, without_torch):
    clips = [media / "both.mp4", media / "sound.wav"]
    done = subprocess.run(
        [*RUN, "classify", *clips, "-m", bundle, "--json"],
        capture_output=True,
        text=True,
        env=without_torch,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["clip"] for line in done.stdout.splitlines()] == [str(clip) for clip in clips]


@pytest.mark.parametrize(("command", "extra"), [("export", "export"), ("synth", "train")])
def test_a_command_that_needs_an_extra_names_it(tmp_path, without_torch, command, extra):
    arguments = {"export": [tmp_path / "x.safetensors"], "synth": ["-o", tmp_path / "set", "--clips", "1"]}[command]
    done = subprocess.run([*RUN, command, *arguments], capture_output=True, text=True, env=without_torch, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"avgn-edge[{extra}]" in done.stderr


def test_lines_come_one_at_a_time_and_ctrl_c_keeps_them(bundle, media):
    clips = [media / "sound.wav"] * 2000
    process = subprocess.Popen(
        [*RUN, "classify", *clips, "-m", bundle, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = process.stdout.readline()  # comes while thousands are still to be done: stdout is flushed
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    # Not communicate(): it passes by what was read with the first line and waits in the buffer.
    rest, errors = process.stdout.read(), process.stderr.read()
    assert process.wait(60) == 130
    done = [json.loads(line) for line in (first + rest).splitlines()]
    assert len(done) < 2000
    assert errors.startswith("interrupted: ")
    assert errors.count("\n") == 1


def test_a_reader_that_leaves_ends_it_quietly(bundle, media):
    process = subprocess.Popen(
        [*RUN, "classify", *[media / "sound.wav"] * 500, "-m", bundle],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_one_line(bundle):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*RUN, "info", bundle], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: standard output: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals to make here")
@pytest.mark.parametrize(("count", "shown"), [(3, True), (1, False)])
def test_a_bar_is_shown_on_a_terminal_for_more_than_one_clip(bundle, media, count, shown):
    ours, theirs = os.openpty()
    pieces = []

    def drain():  # as it comes: a terminal holds 4 kB, and how often the bar is drawn depends on the machine
        with contextlib.suppress(OSError):
            while piece := os.read(ours, 4096):
                pieces.append(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    done = subprocess.run(
        [*RUN, "classify", *[media / "sound.wav"] * count, "-m", bundle, "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "TERM": "xterm"},
        check=False,
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    drawn = b"".join(pieces)
    assert done.returncode == 0
    assert [json.loads(line)["label"] is not None for line in done.stdout.splitlines()] == [True] * count
    assert (b"3/3" in drawn) == shown
    assert (b"/s" in drawn or b"/min" in drawn) == shown  # the rate
    assert shown or drawn == b""
