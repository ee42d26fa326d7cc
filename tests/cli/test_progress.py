"""Where there is no terminal, long work is heard of by a line now and then."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from avgn_edge.cli import progress
from avgn_edge.cli.progress import Bar, pace
from avgn_edge.cli.train import TrainingMonitor


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Lines every 50 ms in place of 30 s."""
    monkeypatch.setattr(progress, "EVERY_S", 0.05)


def told(capfd):
    out, err = capfd.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_line_comes_before_anything_is_done_and_tells_what_is(capfd):
    with Bar("clips", 9) as bar:
        time.sleep(0.2)
        bar.show(3)
        time.sleep(0.2)
    lines = told(capfd)
    assert lines[0].startswith("clips: 0 of 9, ")
    assert lines[0].endswith(" so far")
    assert lines[-1].startswith("clips: 3 of 9, ")
    assert lines[-1].endswith(" left")
    time.sleep(0.15)
    assert told(capfd) == []  # none comes afterwards


@pytest.mark.parametrize(("total", "each_told"), [(1, False), (9, True)])
def test_no_line_for_one_thing_or_where_each_has_its_own(capfd, total, each_told):
    with Bar("clips", total, has_lines=each_told):
        time.sleep(0.15)
    assert told(capfd) == []


def test_short_work_is_silent(capfd, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 30.0)
    with Bar("clips", 9) as bar:
        bar.show(9)
    assert told(capfd) == []


def test_training_tells_step_loss_pace_and_time_left(capfd, tmp_path):
    stage = SimpleNamespace(objective=SimpleNamespace(weights={"classification": 1.0, "audio": 0.5}))
    with TrainingMonitor(2, tmp_path / "net.pt", as_json=True) as monitor:
        monitor.stage(stage, 0, 0)
        time.sleep(0.15)
        monitor.step(0, 0, 3, {"classification": 2.0, "audio": 1.0})
        monitor.step(0, 1, 3, {"classification": 1.0, "audio": 1.0})
        time.sleep(0.15)
        monitor.step(0, 2, 3, {"classification": 1.0, "audio": 1.0})
        time.sleep(0.15)
    lines = told(capfd)
    assert lines[0].startswith("training: the first step, ")
    assert any(line.startswith("epoch 1/2: step 2 of 3, loss 2.000, ") and line.endswith(" left") for line in lines)
    assert lines[-1].startswith("epoch 1/2: held-out clips, loss ")


@pytest.mark.parametrize(
    ("done", "left", "seconds", "text"),
    [
        (0, 9, 31, "31 s so far"),
        (20, 10, 10, "2.0/s, about 5 s left"),
        (1, 9, 60, "1.0/min, about 9 min left"),
        (1, 600, 60, "1.0/min, about 10.0 h left"),
        (5, None, 10, "30.0/min"),
    ],
)
def test_pace(done, left, seconds, text):
    assert pace(done, left, seconds) == text
