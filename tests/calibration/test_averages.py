"""Thresholds for an average cost: MSDNet's geometric shares, and what they then cost."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_makers import by_hand, drawn, manifest_of, recognizer_of, rows_of, some_clip, spent, trajectories_of
from hypothesis import given, settings
from hypothesis import strategies as st

from avgn_edge.calibration import exit_calibration
from avgn_edge.calibration import trajectories as replay
from avgn_edge.calibration.exit_calibration import (
    AVERAGE_STEP,
    NEVER,
    Calibrated,
    average_points,
    geometric_thresholds,
    thresholds_for,
)
from avgn_edge.runtime.exits import Exits
from avgn_edge.runtime.options import Options


def sure(trajectories):
    return replay.confidences(trajectories, (1.0,))


def leaving(trajectories, log_q):
    """How many clips stop at each step."""
    thresholds = geometric_thresholds(trajectories, sure(trajectories), log_q)
    stopped = replay.stop(trajectories, sure(trajectories), Exits(thresholds))
    return np.bincount(stopped.step, minlength=trajectories.steps).tolist()


def test_with_q_1_as_many_clips_leave_at_every_step():
    assert leaving(drawn(clips=140, steps=7)[0], 0.0) == [20] * 7


def test_with_q_a_half_at_each_step_half_as_many_leave_as_at_the_one_before():
    trajectories, _ = drawn(clips=310, steps=5)
    assert leaving(trajectories, np.log(0.5)) == [160, 80, 40, 20, 10]
    assert leaving(trajectories, np.log(2.0)) == [10, 20, 40, 80, 160]


def test_the_surest_leave_first():
    trajectories, _ = drawn(clips=140)
    sureness = sure(trajectories)
    thresholds = geometric_thresholds(trajectories, sureness, 0.0)
    step = replay.stop(trajectories, sureness, Exits(thresholds)).step
    for at in range(6):
        assert sureness[step == at, at].min() >= thresholds[at] > sureness[step > at, at].max()


def test_extreme_q_leaves_at_the_first_step_or_at_the_last():
    trajectories, _ = drawn(clips=100, steps=6)
    assert leaving(trajectories, -12.0) == [100, 0, 0, 0, 0, 0]
    assert leaving(trajectories, 12.0) == [0, 0, 0, 0, 0, 100]
    assert leaving(trajectories, 700.0) == [0, 0, 0, 0, 0, 100]  # no overflow


def test_who_has_no_answer_at_a_step_cannot_leave_there():
    some = by_hand(
        [
            [None, (0, 0.5), (0, 0.9)],
            [None, (0, 0.6), (0, 0.9)],
            [(0, 0.7), None, (0, 0.9)],
            [(0, 0.8), None, (0, 0.9)],
        ]
    )
    thresholds = geometric_thresholds(some, sure(some), -12.0)  # all would leave at once
    assert replay.stop(some, sure(some), Exits(thresholds)).step.tolist() == [2, 2, 0, 0]
    thresholds = geometric_thresholds(some, sure(some), 0.0)
    assert replay.stop(some, sure(some), Exits(thresholds)).step.tolist() == [2, 1, 2, 0]


def test_an_answer_that_used_up_its_looks_is_not_called_sure():
    trajectories, _ = drawn(clips=50)
    for log_q in (-12.0, 0.0, 3.0):
        thresholds = geometric_thresholds(trajectories, sure(trajectories), log_q)
        assert len(thresholds) == trajectories.steps
        assert thresholds[-1] == NEVER > 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100), st.sampled_from([0, 1, 4, 8]), st.floats(0.0, 1.0), st.sampled_from([40, 300]))
def test_an_asked_mean_is_hit_within_a_clip_s_worth(seed, glances, share, clips):
    trajectories, _ = drawn(clips=clips, glances=glances, seed=seed)
    least = float(trajectories.macs[:, 0].mean())
    most = float(trajectories.macs[:, -1].mean())
    asked = least + share * (most - least)
    thresholds, cost = thresholds_for(trajectories, sure(trajectories), asked)
    stopped = replay.stop(trajectories, sure(trajectories), Exits(thresholds))
    assert cost == pytest.approx(float(stopped.macs.mean()))
    whole_clip = float((trajectories.macs[:, -1] - trajectories.macs[:, 0]).max())
    assert abs(cost - asked) <= whole_clip / clips


def test_a_mean_out_of_reach_is_the_nearest_there_is():
    trajectories, _ = drawn()
    assert thresholds_for(trajectories, sure(trajectories), 1.0)[1] == trajectories.macs[:, 0].mean()
    assert thresholds_for(trajectories, sure(trajectories), 1e12)[1] == trajectories.macs[:, -1].mean()


# ---- operating points -----------------------------------------------------------------------------------------------


def points_of(seed=0, clips=200, grid=(0, 1, 4, 8)):
    by_glances = {}
    for glances in grid:
        trajectories, truth = drawn(clips=clips, glances=glances, seed=seed)
        by_glances[glances] = Calibrated(trajectories, (1.3, 0.9, 1.1), Exits())
    return by_glances, truth, average_points(by_glances, truth, "int8")


def test_every_average_between_the_cheapest_and_the_dearest_has_a_point_near_it():
    by_glances, _, points = points_of()
    cheapest = min(float(one.trajectories.macs[:, 0].mean()) for one in by_glances.values())
    dearest = max(float(one.trajectories.macs[:, -1].mean()) for one in by_glances.values())
    means = np.array([point.mean_macs for point in points])
    for asked in np.geomspace(cheapest, dearest, 300):
        assert np.abs(means / asked - 1).min() <= AVERAGE_STEP - 1


def test_a_point_tells_what_its_thresholds_do_to_the_clips():
    by_glances, truth, points = points_of()
    for point in points:
        one = by_glances[point.glances]
        sureness = replay.confidences(one.trajectories, one.temperatures)
        stopped = replay.stop(one.trajectories, sureness, Exits(point.thresholds))
        assert point.mean_macs == round(float(stopped.macs.mean()))
        assert point.top1 == replay.top1(one.trajectories, stopped.step, truth)
        assert abs(point.mean_macs / point.macs - 1) <= AVERAGE_STEP - 1
        assert (point.precision, point.looks) == ("int8", 5)
    assert len({point.glances for point in points}) > 1


def test_of_the_numbers_of_glances_the_most_accurate_is_taken():
    by_glances, truth, points = points_of()
    for point in points[:: len(points) // 8]:
        for other in by_glances.values():
            sureness = replay.confidences(other.trajectories, other.temperatures)
            thresholds, cost = thresholds_for(other.trajectories, sureness, point.macs)
            if abs(cost / point.macs - 1) < (AVERAGE_STEP - 1) / 2:
                stopped = replay.stop(other.trajectories, sureness, Exits(thresholds))
                assert replay.top1(other.trajectories, stopped.step, truth) <= point.top1 + 1 / len(truth)


@pytest.mark.parametrize("log_q", [-1.0, 0.0, 1.0])
def test_rounding_moves_no_clip_across_the_threshold_that_it_set(log_q, monkeypatch):
    trajectories, truth = drawn(clips=150)
    sureness = replay.confidences(trajectories, (1.3,))
    exact = geometric_thresholds(trajectories, sureness, log_q)
    setters = replay.stop(trajectories, sureness, Exits(exact))
    monkeypatch.setattr(exit_calibration, "thresholds_for", lambda *_: (exact, float(setters.macs.mean())))
    monkeypatch.setattr(exit_calibration, "AVERAGE_STEP", 1e9)  # one average, whatever it is
    by_glances = {4: Calibrated(trajectories, (1.3,), Exits())}
    for point in average_points(by_glances, truth, "fp32"):
        assert all(0 <= after - before <= 1e-6 for before, after in zip(point.thresholds, exact, strict=True))
        stopped = replay.stop(trajectories, sureness, Exits(point.thresholds))
        np.testing.assert_array_equal(stopped.step, setters.step)


@pytest.mark.parametrize("asked", ["450mflops", "900mflops", "1.5gflops"])
def test_an_average_is_executed_at_the_cost_that_its_point_tells(asked):
    """Clips with and without sound and pictures, through the same recognizer that users have."""
    import dataclasses

    from avgn_edge.bundle.calibration_tables import ExitSettings, ExitTable

    manifest = manifest_of()
    clips = [some_clip(seed) for seed in range(30)]
    rows = rows_of(manifest, clips, (0, 1, 4))
    temperatures = (1.2, 0.8, 1.1)
    by_glances = {g: Calibrated(trajectories_of(rows, g), temperatures, Exits()) for g in (0, 1, 4)}
    truth = np.eye(6, dtype=bool)[np.arange(30) % 6]
    points = tuple(average_points(by_glances, truth, "fp32"))
    tables = tuple(ExitTable(g, temperatures, 30, 10**9, ()) for g in (0, 1, 4))
    calibrated = dataclasses.replace(manifest, operating_points=points, exits=ExitSettings(None, {"fp32": tables}))
    recognizer = recognizer_of(calibrated)
    chosen = recognizer.strategy(Options.of(average=asked))
    point = next(p for p in points if p.thresholds == chosen.rules.at(chosen.glances).thresholds)
    results = [recognizer.classify(some_clip(seed), average=asked) for seed in range(30)]
    assert round(np.mean([spent(result) for result in results])) == point.mean_macs
    right = [truth[clip, int(result.probabilities.argmax())] for clip, result in enumerate(results)]
    assert np.mean(right) == pytest.approx(point.top1)
