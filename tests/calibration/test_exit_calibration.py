"""Temperatures, risks and limits that are found on clips: by hand, against what is known, and as they are executed."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from calibration_makers import (
    by_hand,
    drawn,
    manifest_of,
    named,
    recognizer_of,
    rows_of,
    some_clip,
    spent,
    trajectories_of,
)
from network_makers import FakeClip

from avgn_edge.bundle.calibration_tables import ExitSettings
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.calibration import trajectories as replay
from avgn_edge.calibration.exit_calibration import (
    CONFIDENCES,
    FEWEST,
    Calibrated,
    calibrate_exits,
    exit_table,
    fit_temperatures,
    fitting,
    limit_points,
)
from avgn_edge.calibration.trajectories import Row, Trajectories
from avgn_edge.runtime.exits import Exits, certified

# ---- temperatures ---------------------------------------------------------------------------------------------------


def overstated(task, factor, clips=6000, steps=3, seed=0):
    """Answers whose logits are `factor` times those that the labels were drawn from."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (clips, 1, 4))
    if task == "single-label":
        true = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        shown = np.exp(factor * logits) / np.exp(factor * logits).sum(axis=-1, keepdims=True)
        label = (true[:, 0].cumsum(axis=-1) > rng.random((clips, 1))).argmax(axis=-1)
        truth = np.eye(4, dtype=bool)[label]
    else:
        truth = rng.random((clips, 4)) < 1 / (1 + np.exp(-logits[:, 0]))
        shown = 1 / (1 + np.exp(-factor * logits))
    scores = np.repeat(shown, steps, axis=1).astype(np.float32)
    macs = np.tile(np.arange(1, steps + 1), (clips, 1))
    return Trajectories(4, task, scores, macs, np.ones((clips, steps), dtype=bool)), truth


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(task, factor):
    trajectories, truth = overstated(task, factor)
    for temperature in fit_temperatures(trajectories, truth):
        assert temperature == pytest.approx(factor, rel=0.1)


def test_a_step_that_few_clips_reach_stays_as_it_is():
    trajectories, truth = overstated("single-label", 3.0, clips=200)
    reached = trajectories.reached.copy()
    reached[FEWEST - 1 :, 0] = False
    reached[FEWEST:, 1] = False
    few = dataclasses.replace(trajectories, reached=reached)
    first, second, last = fit_temperatures(few, truth)
    assert first == 1.0
    assert 1.0 not in (second, last)
    unlabelled = truth & (np.arange(200) < FEWEST - 1)[:, None]  # clips of classes that the bundle does not know
    assert fit_temperatures(trajectories, unlabelled) == (1.0, 1.0, 1.0)


def test_steps_have_temperatures_of_their_own():
    mild, truth = overstated("single-label", 1.0)
    strong, _ = overstated("single-label", 3.0)
    scores = mild.probabilities.copy()
    scores[:, 1] = strong.probabilities[:, 1]
    first, second, third = fit_temperatures(dataclasses.replace(mild, probabilities=scores), truth)
    assert (first, second, third) == pytest.approx((1.0, 3.0, 1.0), rel=0.1)


def test_answers_that_are_never_wrong_give_a_finite_temperature():
    scores = np.zeros((50, 3, 2), dtype=np.float32)
    scores[:, :, 0] = 1.0
    certain = Trajectories(4, "single-label", scores, np.ones((50, 3), dtype=np.int64), np.ones((50, 3), dtype=bool))
    right, wrong = np.eye(2, dtype=bool)[[0] * 50], np.eye(2, dtype=bool)[[1] * 50]
    for truth in (right, wrong):
        assert all(0.01 <= temperature <= 100 for temperature in fit_temperatures(certain, truth))


# ---- risks ----------------------------------------------------------------------------------------------------------


def at(table, confidence):
    """The row of a confidence of 1 - 0.7, say, whatever the grid is near it."""
    return min(table.risk, key=lambda row: abs(row.confidence - confidence))


def test_disagreements_are_counted_by_hand():
    trajectories = by_hand(
        [
            [(0, 0.95), (0, 0.9), (0, 0.9), (0, 0.9)],  # sure at once, and right to be
            [(1, 0.95), (1, 0.9), (0, 0.6), (0, 0.8)],  # sure at once, of another class than in the end
            [(2, 0.5), (1, 0.95), (1, 0.95), (2, 0.99)],  # the same after the glances
            [(2, 0.5), (2, 0.6), (2, 0.6), (1, 0.99)],  # sure only in the end: it does not stop early
            [None, (0, 0.5), (0, 0.95), (0, 0.99)],
        ]
    )
    full = replay.named_classes(trajectories, np.full(5, 3))
    table = exit_table(trajectories, (1.0,), full)
    assert (table.glances, table.clips, table.full_macs, table.temperatures) == (4, 5, 40, (1.0,))
    assert tuple(row.confidence for row in table.risk) == CONFIDENCES
    nine = at(table, 0.93)
    assert (nine.disagreements, nine.mean_macs) == (2, round((10 + 10 + 20 + 40 + 30) / 5))
    half = at(table, 0.55)
    assert (half.disagreements, half.mean_macs) == (3, round((10 + 10 + 20 + 20 + 30) / 5))
    strictest = table.risk[0]
    assert (strictest.disagreements, strictest.mean_macs) == (0, 40)


def test_the_full_network_s_answer_may_come_from_more_glances():
    trajectories = by_hand([[(0, 0.95), (0, 0.9), (0, 0.9)], [(0, 0.4), (0, 0.4), (0, 0.9)]], glances=1)
    full = np.eye(3, dtype=bool)[[1, 1]]
    table = exit_table(trajectories, (1.0,), full)
    assert at(table, 0.93).disagreements == 1  # the other did not stop early


def test_confidences_fall_from_nearly_never_to_nearly_always():
    assert CONFIDENCES[0] < 1
    assert all(later < sooner for sooner, later in itertools.pairwise(CONFIDENCES))
    assert CONFIDENCES[-1] <= 0.3


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
@pytest.mark.parametrize("risk", [0.3, 0.5])
def test_what_a_row_counts_is_what_is_executed(task, risk):
    manifest = manifest_of(task)
    clips = range(30)
    rows = rows_of(manifest, [some_clip(seed) for seed in clips], (0, 8))
    trajectories = trajectories_of(rows, 8, task)
    full = replay.named_classes(trajectories, np.full(30, trajectories.steps - 1))
    table = exit_table(trajectories, (0.5, 0.6, 0.7), full)
    row = certified(30, table.risk, risk)
    assert row is not None
    calibrated = dataclasses.replace(manifest, exits=ExitSettings(None, {"fp32": (table,)}))
    recognizer, whole = recognizer_of(calibrated), recognizer_of(manifest)
    early = [recognizer.classify(some_clip(seed), exit_risk=risk) for seed in clips]
    final = [whole.classify(some_clip(seed)) for seed in clips]
    np.testing.assert_array_equal([named(result, task) for result in final], full)
    differs = [(named(a, task) != named(b, task)).any() for a, b in zip(early, final, strict=True)]
    assert sum(differs) == row.disagreements
    assert round(np.mean([spent(result) for result in early])) == row.mean_macs
    assert round(np.mean([spent(result) for result in final])) == table.full_macs
    assert row.mean_macs < table.full_macs


# ---- limits ---------------------------------------------------------------------------------------------------------


def calibrated_by_glances(grid=(0, 1, 2, 4, 8), seed=0, clips=150):
    made = {glances: drawn(clips=clips, glances=glances, seed=seed) for glances in grid}
    truth = next(iter(made.values()))[1]
    return {glances: Calibrated(trajectories, (1.0,), Exits()) for glances, (trajectories, _) in made.items()}, truth


@pytest.mark.parametrize("seed", range(4))
def test_neither_glances_nor_looks_fall_as_the_limit_rises(seed):
    by_glances, truth = calibrated_by_glances(seed=seed)
    points = limit_points(by_glances, truth, "fp32")
    for sooner, later in itertools.pairwise(points):
        assert (sooner.macs, sooner.glances, sooner.looks) <= (later.macs, later.glances, later.looks)
        assert sooner.glances <= later.glances
        assert sooner.looks <= later.looks
    assert len({(point.glances, point.looks) for point in points}) > 2
    assert (points[-1].glances, points[-1].looks) == (8, 5)
    assert points[-1].macs == by_glances[8].trajectories.macs[:, -1].max()


@pytest.mark.parametrize("seed", range(4))
def test_every_clip_can_pay_for_a_first_look_at_every_point(seed):
    by_glances, truth = calibrated_by_glances(seed=seed)
    for point in limit_points(by_glances, truth, "fp32"):
        assert by_glances[point.glances].trajectories.macs[:, 2].max() <= point.macs
        assert point.mean_macs <= point.macs
        assert point.thresholds is None


def test_glances_that_leave_nothing_for_a_look_are_no_point_however_right_their_answer():
    by_glances, truth = calibrated_by_glances(grid=(0, 8))
    for glances, shown in ((0, np.roll(truth, 1, axis=1)), (8, truth)):
        one = by_glances[glances].trajectories
        scores = np.repeat(shown[:, None], one.steps, axis=1).astype(np.float32)
        changed = dataclasses.replace(one, probabilities=scores)
        by_glances[glances] = dataclasses.replace(by_glances[glances], trajectories=changed)
    points = limit_points(by_glances, truth, "fp32")
    first_look = by_glances[8].trajectories.macs[:, 2].max()
    assert [point.glances for point in points] == [8 if point.macs >= first_look else 0 for point in points]
    glanced = by_glances[8].trajectories.macs[:, 1].max()
    assert any(glanced <= point.macs < first_look for point in points)


def test_a_point_tells_what_its_limit_does_to_the_clips():
    by_glances, truth = calibrated_by_glances()
    for point in limit_points(by_glances, truth, "fp32"):
        cut = by_glances[point.glances].trajectories.up_to(point.looks)
        stopped = replay.stop(cut, replay.confidences(cut, (1.0,)), Exits(), point.macs)
        assert (point.top1, point.mean_macs) == (replay.top1(cut, stopped.step, truth), round(stopped.macs.mean()))


def test_without_the_rule_that_nothing_falls_no_limit_would_do_better_alone():
    """The path is the best of those that rise: with one number of glances it is the best at every limit."""
    by_glances, truth = calibrated_by_glances(grid=(4,))
    trajectories = by_glances[4].trajectories
    points = limit_points(by_glances, truth, "fp32")
    total = sum(point.top1 for point in points)
    for looks in (1, 2, 4, 5):
        cut = trajectories.up_to(looks)
        accuracies = [
            replay.top1(cut, replay.stop(cut, replay.confidences(cut, (1.0,)), Exits(), point.macs).step, truth)
            for point in points
        ]
        assert sum(accuracies[:-1]) + points[-1].top1 <= total + 1e-9


def test_clips_without_pictures_set_no_limit():
    by_glances, truth = calibrated_by_glances()
    mixed = {}
    for glances, one in by_glances.items():
        t = one.trajectories
        macs, reached = t.macs.copy(), t.reached.copy()
        reached[::10, 1:-1] = False
        macs[::10, 1:-1] = 0
        macs[::10, -1] = macs[::10, 0]
        mixed[glances] = dataclasses.replace(one, trajectories=dataclasses.replace(t, macs=macs, reached=reached))
    points = limit_points(mixed, truth, "fp32")
    seen = np.arange(len(truth)) % 10 != 0
    assert points[0].macs == min(one.trajectories.macs[seen, 2].max() for one in mixed.values())
    assert points[-1].macs == mixed[8].trajectories.macs[:, -1].max()


# ---- all of it ------------------------------------------------------------------------------------------------------


def as_rows(by_glances):
    """Clip by clip, what `calibrate_exits` takes."""
    clips = next(iter(by_glances.values())).clips
    return [
        {g: Row(t.probabilities[at], t.macs[at], t.reached[at]) for g, t in by_glances.items()} for at in range(clips)
    ]


def found(rows, truth, **changes):
    options = {"own": 8, "task": "single-label", "precision": "fp32", **changes}
    return calibrate_exits(rows, truth, fitting(len(rows)), **options)


GRID = (0, 2, 8)


@pytest.fixture(scope="module")
def synthetic():
    made = {glances: drawn(clips=160, glances=glances) for glances in GRID}
    return as_rows({glances: trajectories for glances, (trajectories, _) in made.items()}), made[8][1]


@pytest.fixture(scope="module")
def usual(synthetic):
    """What is found on these clips."""
    return found(*synthetic)


def test_every_fourth_clip_fits():
    assert fitting(6).tolist() == [True, False, False, False, True, False]


def test_a_table_for_each_number_of_glances_and_points_of_both_kinds(usual):
    result = usual
    assert [table.glances for table in result.tables] == list(GRID)
    assert {table.clips for table in result.tables} == {120}
    assert all(len(table.temperatures) == 7 for table in result.tables)
    kinds = [point.thresholds is None for point in result.points]
    assert kinds == sorted(kinds, reverse=True)
    assert any(kinds)
    assert not all(kinds)
    assert {point.precision for point in result.points} == {"fp32"}


def test_a_bundle_holds_what_was_found_as_it_was_found(usual):
    manifest = dataclasses.replace(
        manifest_of(), exits=ExitSettings(0.9, {"fp32": usual.tables}), operating_points=usual.points
    )
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_same_clips_give_the_same_tables_and_points(synthetic, usual):
    assert found(*synthetic) == usual


def test_risks_are_counted_on_clips_that_fitted_nothing(synthetic, usual):
    rows, truth = synthetic
    before = usual
    other = [
        {g: dataclasses.replace(row, probabilities=row.probabilities[:, ::-1].copy()) for g, row in one.items()}
        if at % 4 == 0
        else one
        for at, one in enumerate(rows)
    ]
    after = found(other, np.where((np.arange(160) % 4 == 0)[:, None], truth[:, ::-1], truth))
    # The fitting clips' classes have other names: the same temperatures, and not one count has changed.
    assert after.tables == before.tables
    flat = [
        {g: dataclasses.replace(row, probabilities=np.full_like(row.probabilities, 1 / 6)) for g, row in one.items()}
        if at % 4
        else one
        for at, one in enumerate(rows)
    ]
    assert [table.temperatures for table in found(flat, truth).tables] == [t.temperatures for t in before.tables]
    assert [table.risk for table in found(flat, truth).tables] != [table.risk for table in before.tables]


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_clips_of_every_kind_are_calibrated_on(task):
    manifest = manifest_of(task)
    rows = rows_of(manifest, [some_clip(seed) for seed in range(48)], GRID)
    rng = np.random.default_rng(3)
    truth = np.eye(6, dtype=bool)[rng.integers(0, 6, 48)] | ((rng.random((48, 6)) < 0.3) & (task == "multi-label"))
    result = found(rows, truth, task=task)
    held = dataclasses.replace(
        manifest, exits=ExitSettings(None, {"fp32": result.tables}), operating_points=result.points
    )
    assert Manifest.from_json(held.to_json()) == held
    for point in (one for one in result.points if one.thresholds is None):
        cap = f"{point.macs / 1e6}mflops"
        for seed in (0, 2, 3, 5):
            assert spent(recognizer_of(held).classify(some_clip(seed), cap)) <= point.macs


@pytest.mark.parametrize("kind", ["no pictures", "no sound"])
def test_a_set_of_one_kind_of_clips_is_calibrated_on_too(kind):
    manifest = manifest_of()
    clips = [FakeClip(np.full(16, kind != "no sound"), video=kind != "no pictures", seed=seed) for seed in range(24)]
    truth = np.eye(6, dtype=bool)[np.arange(24) % 6]
    result = found(rows_of(manifest, clips, GRID), truth)
    limits = [point for point in result.points if point.thresholds is None]
    assert bool(limits) == (kind == "no sound")
    held = dataclasses.replace(
        manifest, exits=ExitSettings(None, {"fp32": result.tables}), operating_points=result.points
    )
    assert Manifest.from_json(held.to_json()) == held
    averages = [point.mean_macs for point in result.points if point.thresholds is not None]
    result = recognizer_of(held).classify(clips[0], average=f"{averages[-1] / 1e6}mflops")
    assert result.exit == ("no-visual" if kind == "no pictures" else "looks")
