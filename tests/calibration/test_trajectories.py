"""What calibration believes that exits will do is what the runtime does, clip by clip."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
import pytest
from calibration_makers import (
    by_hand,
    manifest_of,
    named,
    recognizer_of,
    rows_of,
    some_clip,
    spent,
    trajectories_of,
    with_average,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from network_makers import REAL_COST, FakeBundle, FakeClip, ItemwiseEngine, made_clip

from avgn_edge.architectures.avgn.spec import ARCHITECTURE
from avgn_edge.bundle.calibration_tables import GLANCED, LISTENED
from avgn_edge.calibration import trajectories as replay
from avgn_edge.calibration.comparison import CachedClip, CachingSessions
from avgn_edge.calibration.trajectories import glance_grid, run_clip
from avgn_edge.media.clip import ClipWrapper
from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.exits import Exits
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.sessions import Sessions

GRID = (0, 1, 4, 16)
SEEDS = range(12)
TASKS = ("single-label", "multi-label")


@lru_cache
def known_rows(task):
    return rows_of(manifest_of(task), [some_clip(seed) for seed in SEEDS], GRID)


def step_of(result):
    if result.budget.looks:
        return GLANCED + result.budget.looks
    return GLANCED if result.budget.glance else LISTENED


def check_executed(result, trajectories, clip, stopped):
    """One clip's result is what was simulated."""
    assert spent(result) == stopped.macs[clip]
    task = trajectories.task
    np.testing.assert_array_equal(named(result, task), replay.named_classes(trajectories, stopped.step)[clip])
    if result.exit == "no-visual":  # its only answer stands at the last step too
        assert stopped.step[clip] in {LISTENED, trajectories.steps - 1}
    else:
        assert step_of(result) == stopped.step[clip]
        assert (result.exit == "confident") == stopped.sure[clip] or stopped.step[clip] == trajectories.steps - 1


@st.composite
def exits_for(draw, task, glances):
    """Thresholds, also right at some clip's confidence, and temperatures, for every step."""
    trajectories = trajectories_of(known_rows(task), glances, task)
    steps = trajectories.steps
    temperatures = tuple(draw(st.lists(st.sampled_from([1.0, 0.5, 1.75, 4.0]), min_size=steps, max_size=steps)))
    sureness = replay.confidences(trajectories, temperatures)
    thresholds = []
    for step in range(steps):
        occurring = [float(value) for value in sureness[trajectories.reached[:, step], step]] or [2.0]
        at = st.sampled_from(occurring).map(lambda value: float(np.floor(value * 1e6) / 1e6))
        thresholds.append(draw(st.just(2.0) | at | st.floats(0.2, 1.0)))
    return trajectories, Exits(tuple(thresholds), temperatures)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("glances", GRID)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_is_simulated_is_what_is_executed(task, glances, data):
    trajectories, exits = data.draw(exits_for(task, glances))
    stopped = replay.stop(trajectories, replay.confidences(trajectories, exits.temperatures), exits)
    recognizer = recognizer_of(with_average(manifest_of(task), glances, exits.thresholds, exits.temperatures))
    for clip in data.draw(st.sets(st.sampled_from(SEEDS), min_size=3, max_size=5)):
        result = recognizer.classify(some_clip(clip), average="1gflops")
        check_executed(result, trajectories, clip, stopped)


def test_the_clips_stop_at_different_steps_or_the_test_above_could_not_fail():
    for task in TASKS:
        trajectories = trajectories_of(known_rows(task), 4, task)
        temperatures = (1.0,)
        sureness = replay.confidences(trajectories, temperatures)
        threshold = float(np.median(sureness[trajectories.reached]))
        stopped = replay.stop(trajectories, sureness, Exits((threshold,), temperatures))
        assert len(set(stopped.step.tolist())) >= 4
        assert len({row.tobytes() for row in replay.named_classes(trajectories, stopped.step)}) >= 3
    kinds = {(some_clip(seed).has_video, some_clip(seed).has_audio) for seed in SEEDS}
    assert kinds == {(True, True), (True, False), (False, True)}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(GRID), st.integers(0, 5_000_000_000), st.sampled_from(SEEDS))
def test_a_cap_stops_a_clip_at_the_last_step_that_it_pays_for(glances, more, clip):
    trajectories = trajectories_of(known_rows("single-label"), glances)
    source = some_clip(clip)
    # What T_G glances and a look are sure to be paid for; below, there would be fewer glances.
    look = sum(sum(REAL_COST[name]) for name in ("spatial", "local_encoder", "classifier"))
    unseen = 0 if glances == 16 else 1
    cap = 200_000_000 + (glances + unseen) * 300_000_000 + look + more
    never = Exits()
    stopped = replay.stop(trajectories, replay.confidences(trajectories, (1.0,)), never, cap)
    result = recognizer_of(manifest_of()).classify(source, Budget("cap", macs=cap), glances=glances)
    assert spent(result) <= cap
    check_executed(result, trajectories, clip, stopped)


def test_a_cap_below_every_answer_stops_at_the_first():
    trajectories = by_hand([[None, (0, 0.5), (1, 0.9)], [(0, 0.5), (0, 0.6), (1, 0.9)]])
    stopped = replay.stop(trajectories, replay.confidences(trajectories, (1.0,)), Exits(), most_macs=5)
    assert stopped.step.tolist() == [1, 0]
    assert stopped.macs.tolist() == [20, 10]
    assert stopped.sure.tolist() == [False, False]


@pytest.mark.parametrize(
    ("seed", "heard", "video"), [(1, "all", True), (2, "some", True), (3, "none", True), (4, "all", False)]
)
def test_what_is_simulated_is_what_a_real_network_executes(seed, heard, video, tiny_bundle):
    pytest.importorskip("onnxruntime")
    manifest = tiny_bundle.manifest
    with Recognizer.open(tiny_bundle, "cpu", "fp32", threads=1) as opened, made_clip(seed, heard, video=video) as clip:
        sessions = Sessions(tiny_bundle, opened._engine, "fp32")
        rows = [run_clip(manifest, CachingSessions(sessions, ARCHITECTURE), CachedClip(clip), (0, 4, 8))]
        for glances in (0, 4, 8):
            trajectories = trajectories_of(rows, glances)
            temperatures = (1.5, 0.75, 1.25)
            sureness = replay.confidences(trajectories, temperatures)
            values = np.sort(sureness[trajectories.reached])
            for threshold in (*(values[1:] + values[:-1]) / 2, 2.0):  # in between: engines round
                exits = Exits((float(threshold),) * 3, temperatures)
                stopped = replay.stop(trajectories, sureness, exits)
                bundle = dataclasses.replace(
                    tiny_bundle, manifest=with_average(manifest, glances, exits.thresholds, temperatures)
                )
                with Recognizer(bundle, opened._engine, "fp32") as recognizer:
                    check_executed(recognizer.classify(clip, average="1gflops"), trajectories, 0, stopped)


# ---- remembering ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 2, 3, 5])
def test_a_remembered_clip_s_answers_are_those_of_fresh_runs(seed):
    manifest = manifest_of()
    remembered = rows_of(manifest, [some_clip(seed)], GRID)[0]
    for glances in GRID:
        sessions = Sessions(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
        fresh = run_clip(manifest, sessions, ClipWrapper(some_clip(seed)), (glances,))
        for name in ("probabilities", "macs", "reached", "saliency"):
            np.testing.assert_array_equal(getattr(remembered[glances], name), getattr(fresh[glances], name))
        assert list(remembered[glances].corners.items()) == list(fresh[glances].corners.items())


def test_a_remembered_clip_s_answers_are_those_of_fresh_runs_of_a_real_network(tiny_bundle):
    pytest.importorskip("onnxruntime")
    manifest = tiny_bundle.manifest
    with Recognizer.open(tiny_bundle, "cpu", "fp32", threads=1) as opened, made_clip(2, "some") as clip:
        sessions = Sessions(tiny_bundle, opened._engine, "fp32")
        remembered = run_clip(manifest, CachingSessions(sessions, ARCHITECTURE), CachedClip(clip), (0, 4, 8))
        for glances, row in remembered.items():
            with made_clip(2, "some") as again:
                fresh = run_clip(manifest, sessions, again, (glances,))[glances]
            np.testing.assert_allclose(row.probabilities, fresh.probabilities, atol=1e-4)
            np.testing.assert_array_equal(row.macs, fresh.macs)
            np.testing.assert_array_equal(row.reached, fresh.reached)
            np.testing.assert_allclose(row.saliency, fresh.saliency, atol=1e-4)
            assert list(row.corners) == list(fresh.corners)


def test_a_clip_is_decoded_listened_to_and_glanced_at_once_whatever_is_asked_of_it():
    manifest = manifest_of()
    engine = ItemwiseEngine(manifest)
    clip = FakeClip(np.ones(16, dtype=bool))
    asked = []
    windows = clip.windows
    clip.windows = lambda *arguments: asked.append(1) or windows(*arguments)
    sessions = CachingSessions(Sessions(FakeBundle(manifest), engine, "fp32"), ARCHITECTURE)
    run_clip(manifest, sessions, CachedClip(clip), (0, 1, 2, 4, 8, 16))
    assert sorted(clip.asked) == list(range(16))
    assert engine.items["global_encoder"] == [1] * 16
    assert engine.items["audio_encoder"] == [16]
    assert len(asked) == 1
    assert engine.items["saliency"] == [1] * 6


def test_what_a_reader_does_to_what_was_heard_is_not_remembered():
    clip = CachedClip(FakeClip(np.ones(16, dtype=bool)))
    _, heard = clip.windows()
    heard[:] = False
    assert clip.windows()[1].all()


def test_a_remembered_clip_is_closed_by_its_owner():
    with made_clip(1) as clip:
        with CachedClip(clip) as remembered:
            first = remembered.frames([3, 5])
        again = CachedClip(clip)
        np.testing.assert_array_equal(again.frames([5])[0], first[1])
        for name in ("name", "duration_s", "moments", "has_video", "has_audio", "display_size", "warnings"):
            assert getattr(again, name) == getattr(clip, name)


# ---- trajectories ---------------------------------------------------------------------------------------------------


def test_the_steps_of_every_kind_of_clip():
    (heard,), (silent,), (unseen,) = (
        rows_of(manifest_of(), [clip], (0, 4))
        for clip in (
            FakeClip(np.ones(16, dtype=bool)),
            FakeClip(np.zeros(16, dtype=bool)),
            FakeClip(np.ones(16, dtype=bool), video=False),
        )
    )
    all_looks = [True] * 5
    assert heard[4].reached.tolist() == [True, True, *all_looks]
    assert heard[0].reached.tolist() == [True, False, *all_looks]
    assert silent[4].reached.tolist() == [False, True, *all_looks]
    assert silent[0].reached.tolist() == [False, False, *all_looks]
    assert unseen[4].reached.tolist() == [True] + [False] * 5 + [True]
    for row in (heard[4], heard[0], silent[4], unseen[4]):
        macs = row.macs[row.reached]
        assert (np.diff(macs) >= 0).all()
        assert macs[0] > 0
    assert unseen[4].macs[-1] == unseen[4].macs[0] == 192_000_000
    np.testing.assert_array_equal(unseen[4].probabilities[-1], unseen[4].probabilities[0])
    assert (unseen[4].saliency, unseen[4].corners) == (None, {})
    assert len(heard[4].corners) == 5
    assert heard[4].saliency.shape == (16,)


def test_the_grid_of_glances_ends_with_the_bundle_s_own():
    assert glance_grid(8) == (0, 1, 2, 4, 8)
    assert glance_grid(6) == (0, 1, 2, 4, 6)
    assert glance_grid(1) == (0, 1)
    assert glance_grid(0) == (0,)


def test_fewer_looks_keep_the_answer_they_end_with():
    whole = by_hand(
        [
            [(0, 0.5), (0, 0.6), (1, 0.7), (1, 0.8), (2, 0.9)],
            [(2, 0.4), None, None, None, (2, 0.4)],  # no pictures: its last answer is its first
        ],
        [[10, 20, 30, 40, 50], [10, 0, 0, 0, 10]],
    )
    cut = whole.up_to(1)
    assert (cut.steps, cut.clips, cut.glances) == (3, 2, 4)
    assert cut.macs.tolist() == [[10, 20, 30], [10, 0, 10]]
    assert cut.reached.tolist() == [[True, True, True], [True, False, True]]
    assert cut.probabilities[:, -1].argmax(axis=1).tolist() == [1, 2]
    assert whole.up_to(3).macs.tolist() == whole.macs.tolist()
    assert whole.macs.tolist()[1] == [10, 0, 0, 0, 10]  # what was cut from is as it was


def test_a_clip_without_a_last_answer_is_a_mistake():
    with pytest.raises(ValueError, match="last step"):
        by_hand([[(0, 0.5), (0, 0.5), None]])


def test_some_of_the_clips():
    whole = by_hand([[(0, 0.5)] * 3, [(1, 0.6)] * 3, [(2, 0.7)] * 3])
    some = whole.only(np.array([True, False, True]))
    assert some.probabilities[:, -1].argmax(axis=1).tolist() == [0, 2]
    assert (some.clips, some.task, some.glances) == (2, whole.task, whole.glances)


def test_stopping_by_hand():
    whole = by_hand(
        [
            [(0, 0.9), (1, 0.95), (2, 0.99)],  # sure at once
            [(0, 0.5), (1, 0.95), (2, 0.99)],
            [(0, 0.5), (1, 0.6), (2, 0.7)],  # never
            [None, (1, 0.6), (2, 0.99)],  # silent, and sure only at the end
        ]
    )
    sureness = replay.confidences(whole, (1.0,))
    assert sureness[3, 0] == -1
    stopped = replay.stop(whole, sureness, Exits((0.85, 0.9, 0.9)))
    assert stopped.step.tolist() == [0, 1, 2, 2]
    assert stopped.sure.tolist() == [True, True, False, False]  # with its last answer no clip stops early
    assert stopped.macs.tolist() == [10, 20, 30, 30]
    assert replay.stop(whole, sureness, Exits((0.0,))).step.tolist() == [0, 0, 0, 1]
    truth = np.eye(3, dtype=bool)[[0, 0, 2, 2]]
    assert replay.top1(whole, stopped.step, truth) == 0.75
    assert replay.named_classes(whole, stopped.step).argmax(axis=1).tolist() == [0, 1, 2, 2]
    assert replay.stop(whole, sureness, Exits(), most_macs=29).step.tolist() == [1, 1, 1, 1]


def test_a_confidence_that_just_reaches_its_threshold_ends_the_clip_here_and_there():
    whole = by_hand([[(0, 0.75), (0, 0.5), (0, 0.5)]])
    assert replay.stop(whole, replay.confidences(whole, (1.0,)), Exits((0.75,))).step.tolist() == [0]
    assert replay.stop(whole, replay.confidences(whole, (1.0,)), Exits((np.nextafter(0.75, 1),))).step[0] == 2
    trajectories = trajectories_of(known_rows("single-label"), 4)
    reached = float(replay.confidences(trajectories, (1.0,))[0, GLANCED])  # a float32, and with T = 1 exactly it
    for threshold, step in ((reached, GLANCED), (float(np.nextafter(reached, 1)), trajectories.steps - 1)):
        calibrated = with_average(manifest_of(), 4, (2.0, threshold, 2.0), (1.0, 1.0, 1.0))
        assert step_of(recognizer_of(calibrated).classify(some_clip(0), average="1gflops")) == step
