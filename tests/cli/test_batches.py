"""Batches of the real command in one process and in two: the same answers, and endings that leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from interruptions import await_end, children, started

from avgn_edge.cli.classify import AlignedLines, choose_jobs, classify_batch
from avgn_edge.cli.inputs import Batch, ClipInput
from avgn_edge.cli.runner import Job
from avgn_edge.runtime.options import Options

RUN = [sys.executable, "-m", "avgn_edge", "classify"]


def test_two_processes_answer_as_one_does(run, bundle, media):
    clips = [media / "both.mp4", media / "empty.mp4", media / "sound.wav", media / "silent.mp4", media / "none.mp4"]
    one, two = (run("classify", *clips, "-m", bundle, "--json", "--jobs", jobs) for jobs in (1, 2))
    rows = [[{**row, "timing_ms": None} for row in done.objects] for done in (one, two)]
    assert rows[0] == rows[1]
    assert (two.code, two.stderr) == (one.code, one.stderr)
    assert [row["clip"] for row in rows[1]] == [str(clip) for clip in clips]


@pytest.mark.parametrize(
    "wrong", [("-m", "none"), ("--device", "gpu"), ("--budget", "lots"), ("--budget", "1mflops"), ("--exit-risk", "2")]
)
def test_what_is_wrong_for_all_clips_is_said_once_before_any(run, bundle, media, wrong):
    done = run("classify", *[media / "sound.wav"] * 9, "-m", bundle, "--jobs", 2, *wrong)
    assert (done.code, done.stdout, len(done.errors), len(done.stderr.splitlines())) == (2, "", 1, 1)


@pytest.mark.parametrize("jobs", ["0", "-1", "many", "1000"])
def test_a_number_of_jobs_that_makes_no_sense_is_one_line(run, bundle, media, jobs):
    done = run("classify", media / "sound.wav", "-m", bundle, "--jobs", jobs)
    assert (done.code, done.stdout, len(done.errors), len(done.stderr.splitlines())) == (2, "", 1, 1)


@pytest.mark.parametrize(
    ("asked", "budget", "device", "clips", "listed", "cores", "jobs"),
    [
        (None, "none", "cpu", 1, False, 8, 1),
        (None, "none", "cpu", 15, False, 8, 1),
        (None, "none", "cpu", 16, False, 8, 2),
        (None, "1gflops", "openvino:CPU", 1000, False, 8, 8),
        (None, "80ms", "cpu", 1000, False, 8, 1),
        (2, "80ms", "cpu", 1000, False, 8, 2),
        (None, "none", "cuda:0", 1000, False, 8, 1),
        (None, "none", "tensorrt:0", 1000, False, 8, 1),
        (3, "none", "cuda:0", 1000, False, 8, 3),
        (4, "none", "cpu", 2, False, 8, 2),
        (4, "none", "cpu", 0, False, 8, 1),
        (4, "none", "cpu", 1, True, 8, 4),
        (None, "none", "cpu", 1, True, 8, 1),  # a list that comes slowly
        (None, "none", "cpu", 1000, True, 2, 2),
    ],
)
def test_as_many_processes_as_are_worth_it(asked, budget, device, clips, listed, cores, jobs):
    recognizer = SimpleNamespace(device=SimpleNamespace(used=device))
    batch = Batch([ClipInput("a.mp4")] * clips, listed=listed)
    assert choose_jobs(asked, Job(options=Options.of(budget)), recognizer, batch, cores) == jobs


def test_columns_widen_for_a_longer_name_that_comes_later(capfd):
    writer = AlignedLines(Batch([ClipInput("ab")], listed=True), ["dog"])
    budget = SimpleNamespace(spent_gflops=1.0, looks=1, glance=4)
    for clip in ("ab", "abcdef", "a"):
        top = [SimpleNamespace(label="dog", score=0.5)]
        timing = SimpleNamespace(total=20.0)
        writer.write(SimpleNamespace(clip=clip, warnings=(), top=top, budget=budget, timing_ms=timing))
    assert [line.index("dog") for line in capfd.readouterr().out.splitlines()] == [4, 8, 8]


@pytest.mark.parametrize(("risk", "certified"), [(0.1, True), (0.000001, False)])
def test_what_a_risk_is_worth_is_said_once(run, bundle, media, risk, certified):
    clips = [media / "both.mp4", media / "sound.wav", media / "both.mp4"]
    done = run("classify", *clips, "-m", bundle, "--exit-risk", risk)
    (told,) = done.stderr.splitlines()
    assert told.startswith("exit risk 0.1: in at most 10.0%" if certified else "warning: no early exit")
    as_json = run("classify", *clips, "-m", bundle, "--exit-risk", risk, "--json")
    assert as_json.stderr == done.stderr


class Answer:
    """A result that can be watched."""


@dataclass(frozen=True)
class WatchedJob(Job):
    """Answers with what must not be kept."""

    def classify(self, recognizer, clip):
        answer = Answer()
        recognizer.answers.add(answer)
        return answer


def test_answers_are_not_kept():
    most = 0
    recognizer = SimpleNamespace(answers=weakref.WeakSet(), device=SimpleNamespace(used="cpu"))

    class Lines:
        def write(self, result):
            nonlocal most
            most = max(most, len(recognizer.answers))

    batch = Batch([ClipInput(str(number)) for number in range(20)])
    assert classify_batch(batch, WatchedJob(), recognizer, jobs=1, lines=Lines()) == 0
    assert 1 <= most <= 2


@pytest.fixture
def batch(bundle, media):
    """A command that classifies far more clips than there is time for in two processes."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("processes are counted as Linux shows them")
    clips = [media / "sound.wav"] * 5000
    with started(*RUN[1:], *clips, "-m", bundle, "--json", "--jobs", 2) as process:
        yield process


@pytest.mark.parametrize(
    "end",
    [
        lambda pid: os.killpg(pid, signal.SIGINT),
        lambda pid: os.killpg(pid, signal.SIGTERM),
        lambda pid: os.kill(pid, signal.SIGTERM),
    ],
    ids=["ctrl-c for all processes", "sigterm for all processes", "sigterm for the first"],
)
def test_a_signal_keeps_whole_lines_and_leaves_no_process(batch, end):
    first = batch.stdout.readline()
    started = children(batch.pid)
    assert len(started) >= 2
    end(batch.pid)
    rest, errors = batch.stdout.read(), batch.stderr.read()
    assert batch.wait(timeout=60) == 130
    done = [json.loads(line) for line in (first + rest).splitlines()]
    assert errors == f"interrupted: {len(done)} of 5000 clips done\n"
    await_end(started)


def test_processes_end_with_a_first_one_that_is_killed(batch):
    batch.stdout.readline()
    started = children(batch.pid)
    batch.kill()
    await_end(started)
    assert batch.stderr.read() == ""


def test_a_reader_that_leaves_ends_all_processes_quietly(batch):
    batch.stdout.readline()
    started = children(batch.pid)
    batch.stdout.close()
    assert batch.wait(timeout=60) == 141
    assert batch.stderr.read() == ""
    await_end(started)
    batch.stdout = None


def test_a_killed_worker_costs_one_clip(batch):
    first = batch.stdout.readline()
    workers = [pid for pid in children(batch.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)
    lines = [json.loads(first)]
    while "error" not in lines[-1]:
        lines.append(json.loads(batch.stdout.readline()))
    assert "SIGKILL" in lines[-1]["error"]
    assert all("label" in json.loads(batch.stdout.readline()) for _ in range(5))
