"""Several processes for one batch: order, bounds, and what becomes of a process that dies."""

from __future__ import annotations

import os
import queue
import threading
import time
from itertools import count

import pytest
from batch_makers import NamedJob

from avgn_edge._base.errors import AvgnEdgeError, BundleError, ClipError, DataError, DeviceError
from avgn_edge.cli.inputs import ClipInput
from avgn_edge.cli.runner import AHEAD, Failure, ProcessRunner


def found(*clips):
    return [ClipInput(clip) for clip in clips]


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_outcomes_come_in_order_and_two_processes_share_them(tmp_path):
    gate = tmp_path / "gate"
    clips = [
        ClipInput(f"wait {gate}"),
        *found("b", "c", "bug"),
        ClipInput("d", ClipError("d", "no media", "look elsewhere")),
    ]
    with ProcessRunner(NamedJob(), 2, clips) as workers:
        threading.Timer(0.5, gate.touch).start()
        outcomes = list(workers)
    assert [item for item, _ in outcomes] == clips
    (first, one), (_, other) = outcomes[0][1], outcomes[1][1]
    assert first == f"wait {gate}"
    assert one != other  # while the first waited, the others were done elsewhere
    assert os.getpid() not in {one, other}
    assert outcomes[3][1].why.startswith("RuntimeError (two lines): this is a bug")
    assert "RuntimeError: two" in outcomes[3][1].trace  # the worker's own, for --debug
    assert outcomes[4][1].why == "d: no media: look elsewhere"
    assert not alive(one)
    assert not alive(other)


@pytest.mark.parametrize(("fate", "said"), [("die", "SIGKILL"), ("stop", "exit code 3")])
def test_a_process_that_dies_costs_its_clip_only(fate, said):
    with ProcessRunner(NamedJob(), 2, found("a", fate, "b", "c", "d", fate, "e")) as workers:
        outcomes = [outcome for _, outcome in workers]
    failed = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert [outcomes.index(failure) for failure in failed] == [1, 1]  # the two are alike
    assert [outcome[0] for outcome in outcomes if not isinstance(outcome, Failure)] == ["a", "b", "c", "d", "e"]
    assert said in failed[0].why
    assert failed[0].why.startswith(f"{fate}: ")
    assert failed[0].why.count(": ") == 2


@pytest.mark.parametrize(("clip", "error"), [("bundle", BundleError), ("device", DeviceError)])
def test_what_no_clip_can_survive_is_raised_in_its_turn(clip, error):
    told = []
    with ProcessRunner(NamedJob(), 2, found("a", "b", clip, "c")) as workers, pytest.raises(error):  # noqa: PT012
        for item, _ in workers:
            told.append(item.clip)
    assert told == ["a", "b"]


@pytest.mark.parametrize(("opening", "said"), [("bundle", "it is broken"), ("bug", "two lines"), ("die", "SIGKILL")])
def test_processes_that_cannot_begin_end_the_batch(opening, said):
    with (
        ProcessRunner(NamedJob(opening=opening), 2, found("a", "b", "c")) as workers,
        pytest.raises(AvgnEdgeError, match=said),
    ):
        list(workers)


def test_clips_that_cannot_be_listed_on_end_the_batch_after_those_before():
    def clips():
        yield from found("a", "b")
        raise DataError("standard input", "no list", "give one")

    told = []
    with ProcessRunner(NamedJob(), 2, clips()) as workers, pytest.raises(DataError, match="no list"):  # noqa: PT012
        for item, _ in workers:
            told.append(item.clip)
    assert told == ["a", "b"]


def test_an_outcome_is_told_while_the_next_name_is_awaited():
    names = queue.Queue()
    with ProcessRunner(NamedJob(), 2, iter(names.get, None)) as workers:
        outcomes = iter(workers)
        for name in ("a", "b"):
            names.put(ClipInput(name))
            assert next(outcomes)[1][0] == name  # the next is put only now
        names.put(None)
        assert list(outcomes) == []


def test_a_slow_clip_bounds_how_far_the_others_run_ahead(tmp_path):
    taken = []

    def clips():
        yield ClipInput(f"wait {tmp_path / 'never'}")
        for number in count():
            taken.append(number)
            yield ClipInput(str(number))

    with ProcessRunner(NamedJob(), 2, clips()) as workers:
        threading.Thread(target=lambda: next(iter(workers), None), daemon=True).start()
        while len(taken) < 2 * AHEAD - 1:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(taken) == 2 * AHEAD - 1
        done = [item.clip for item, _ in workers.finished()]
    assert done == [str(number) for number in range(len(done))]  # what was done behind the slow one is not lost
    assert len(done) >= 2 * AHEAD - 3


def test_nothing_is_started_for_clips_that_cannot_be_done():
    bad = [ClipInput(name, ClipError(name, "no media", "look elsewhere")) for name in "abc"]
    with ProcessRunner(NamedJob(opening="bundle"), 2, bad) as workers:
        assert all(isinstance(outcome, Failure) for _, outcome in workers)
