"""SIGTERM, as systemd, SLURM and `timeout` send it to every process of a job, ends each command as Ctrl-C does."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from interruptions import await_end, children, signals_as_usual, started  # noqa: F401 - a fixture
from media_makers import SoundSpec, VideoSpec, tone, write_media

from avgn_edge.cli import synth
from avgn_edge.cli.console import AGAIN_S, Interruptible

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are counted as on Linux")


def test_a_command_is_ended_in_one_line(run, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)  # never reached

    monkeypatch.setattr(synth, "write_set", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    done = run("synth", "-o", tmp_path / "set")
    assert (done.code, done.stdout, done.stderr) == (130, "", "interrupted\n")
    assert signal.getsignal(signal.SIGTERM) is before


def interrupted(number, *, cleaning_s=0.0):
    with Interruptible():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            time.sleep(cleaning_s)


def dropping(number):
    """What a library does that a signal's exception is lost in."""
    with Interruptible():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(10)
        time.sleep(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_exception_that_a_library_drops_is_raised_again(number):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        dropping(number)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_on_its_way_or_caught_is_not_raised_again(number):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted(number, cleaning_s=3 * AGAIN_S)
    assert time.monotonic() - began > 3 * AGAIN_S
    with Interruptible() as interruptible:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except KeyboardInterrupt:
            interruptible.caught()
        time.sleep(2 * AGAIN_S)
    time.sleep(2 * AGAIN_S)


def test_training_ends_after_the_step_and_saves(tmp_path, tiny_model):
    pytest.importorskip("torch")
    from avgn_edge.architectures.avgn.network import checkpoint

    checkpoint.save(tiny_model, tmp_path / "tiny.safetensors")
    for number in range(4):
        folder = tmp_path / "clips" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_media(folder / f"{number}.mp4", VideoSpec(), SoundSpec(tone(440, 2.0, 44_100)))
    output = tmp_path / "net.pt"
    quick = ("--init", tmp_path / "tiny.safetensors", "--batch", 2, "--looks", 2, "--val-fraction", 0, "--workers", 2)
    with started(
        "-m", "avgn_edge", "train", "--data", tmp_path / "clips", "-o", output, *quick, "--epochs", 10_000, "--json"
    ) as process:
        assert '"epoch": 1,' in process.stdout.readline(), process.stderr.read()
        workers = children(process.pid)
        assert len(workers) >= 2
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=120) == 130
        errors = process.stderr.read()
        await_end(workers)
    assert "stopping after this step" in errors
    assert errors.endswith(f"{output}.state: go on with the same command and --resume\ninterrupted\n")
    assert "bug" not in errors
    assert "Traceback" not in errors
    assert Path(f"{output}.state").exists()
    assert not list(tmp_path.glob("*.partial"))
