"""Temperature, confidence, and what lets a clip stop: what is asked for, and what the bundle's calibration grants."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from evaluation_makers import COST
from hypothesis import given, settings
from hypothesis import strategies as st
from network_makers import fake_manifest

from avgn_edge._base.errors import BudgetError, BundleError
from avgn_edge.bundle.calibration_tables import (
    FIRST_LOOK,
    GLANCED,
    LISTENED,
    ExitSettings,
    ExitTable,
    OperatingPoint,
    RiskRow,
)
from avgn_edge.runtime import exits
from avgn_edge.runtime.exits import (
    DEFAULT_RISK,
    DELTA,
    NEVER,
    ExitRules,
    Exits,
    certified,
    confidence,
    smallest_risk,
    tempered,
)
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.scores import probabilities
from avgn_edge.runtime.strategy import promise, strategy

SINGLE, SEVERAL = "single-label", "multi-label"
LOGITS = st.lists(st.floats(-12, 12, width=32), min_size=2, max_size=8)
TEMPERATURES = st.floats(0.05, 20.0)


# ---- temperature and confidence -------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(LOGITS, TEMPERATURES)
def test_tempering_one_label_is_the_softmax_of_divided_logits(values, temperature):
    logits = np.array(values)
    expected = np.exp((logits - logits.max()) / temperature)
    given_scores = probabilities(logits.astype(np.float32), SINGLE)
    np.testing.assert_allclose(
        tempered(given_scores, temperature, SINGLE), expected / expected.sum(), rtol=1e-4, atol=1e-30
    )


@settings(max_examples=200, deadline=None)
@given(LOGITS, TEMPERATURES)
def test_tempering_several_labels_is_the_sigmoid_of_divided_logits(values, temperature):
    logits = np.array(values)
    shares = 1 / (1 + np.exp(-logits))  # float64: 1 - p is what a float32 near 1 has lost
    np.testing.assert_allclose(
        tempered(shares, temperature, SEVERAL), 1 / (1 + np.exp(-logits / temperature)), rtol=1e-6
    )


@settings(max_examples=200, deadline=None)
@given(LOGITS, TEMPERATURES, st.sampled_from([SINGLE, SEVERAL]))
def test_a_temperature_changes_no_class_that_an_answer_names(values, temperature, task):
    raw = probabilities(np.array(values, dtype=np.float32), task)
    scores = tempered(raw, temperature, task)
    if task == SINGLE:
        assert raw[scores.argmax()] == raw.max()
    else:  # of several that are all but certain the best may not be told apart any more
        assert scores[raw.argmax()] == scores.max()
        np.testing.assert_array_equal(scores >= 0.5, raw >= 0.5)
    assert (np.diff(scores[np.argsort(raw, kind="stable")]) >= 0).all()


def test_a_high_temperature_doubts_and_a_low_one_is_sure():
    raw = np.array([0.5, 0.3, 0.2], dtype=np.float32)
    hot, cold = tempered(raw, 4.0, SINGLE), tempered(raw, 0.25, SINGLE)
    assert hot.max() < 0.5 < cold.max()
    assert hot.sum() == pytest.approx(1) == cold.sum()
    np.testing.assert_array_equal(tempered(raw, 1.0, SINGLE), raw.astype(np.float64))


@pytest.mark.parametrize("task", [SINGLE, SEVERAL])
def test_scores_of_0_and_1_stay_numbers(task, recwarn):
    for temperature in (0.05, 1.0, 20.0):
        scores = tempered(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32), temperature, task)
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores.argmax(axis=-1), [1, 2])
    assert not recwarn.list


def test_a_score_just_below_1_is_told_from_1():
    """Where the float32 nearest to the best class's score is 1, the others' scores still say how near it is."""
    raw = np.array([1.0, 1e-12], dtype=np.float32)
    assert 0 < 1 - float(confidence(tempered(raw, 0.999, SINGLE), SINGLE)) < 2e-12


def test_confidence_is_the_best_class_s_score_or_the_least_decided_class_s():
    scores = np.array([[0.7, 0.2, 0.1], [0.05, 0.6, 0.95]])
    assert confidence(scores, SINGLE) == pytest.approx([0.7, 0.95])
    assert confidence(scores, SEVERAL) == pytest.approx([0.7, 0.6])
    assert confidence(scores[1], SEVERAL) == pytest.approx(0.6)


def test_steps_beyond_the_last_are_as_the_last():
    given_exits = Exits((0.9, 0.8, 0.7), (1.0, 2.0))
    assert [given_exits.threshold(step) for step in range(5)] == [0.9, 0.8, 0.7, 0.7, 0.7]
    assert [given_exits.temperature(step) for step in range(4)] == [1.0, 2.0, 2.0, 2.0]
    raw = np.array([0.6, 0.4], dtype=np.float32)
    np.testing.assert_array_equal(given_exits.tempered(raw, 3, SINGLE), tempered(raw, 2.0, SINGLE))


# ---- the guarantee --------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 3000), st.floats(0.0, 1.0), st.data())
def test_the_binomial_tail_is_scipy_s(trials, chance, data):
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with scikit-learn")
    count = data.draw(st.integers(0, min(trials, 60)) | st.integers(0, trials))
    # 0 and 1 are asked of nobody: there the tail is taken so that nothing is certified at 0, and all at 1.
    if 0.0 < chance < 1.0:
        assert exits._binomial_tail(count, trials, chance) == pytest.approx(
            stats.binom.cdf(count, trials, chance), rel=1e-7, abs=1e-12
        )


def rows(*disagreements):
    return [RiskRow(0.99 - 0.01 * at, count, 1000 - at) for at, count in enumerate(disagreements)]


def test_the_lowest_confidence_is_certified_up_to_the_first_that_fails():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with scikit-learn")
    most = max(count for count in range(50) if stats.binom.cdf(count, 1000, 0.02) <= DELTA)
    table = rows(0, most - 1, most, most + 1, 0)
    assert certified(1000, table, 0.02) is table[2]  # what comes after the first failure is not looked at
    assert certified(1000, table[:2], 0.02) is table[1]
    assert certified(1000, rows(most + 1, 0), 0.02) is None
    assert certified(1000, (), 0.02) is None
    assert certified(1000, table, 0.0) is None
    assert certified(1000, table, 0.02, delta=0.0001).confidence > table[2].confidence


@pytest.mark.parametrize(("clips", "granted"), [(148, False), (149, True)])
def test_without_any_disagreement_so_many_clips_are_needed(clips, granted):
    assert (0.98**clips <= DELTA) is granted
    assert (certified(clips, rows(0), 0.02) is not None) is granted


@pytest.mark.parametrize("risk", [0.02, 0.05])
@pytest.mark.parametrize("clips", [200, 600])
def test_what_is_certified_keeps_its_promise_in_all_but_delta_of_the_draws(risk, clips):
    """The risk curve rises and falls and rises again, which a method that needs it monotone would trip over."""
    rng = np.random.default_rng(20 * clips + round(100 * risk))
    at = np.linspace(0, 1, 40)
    true = risk * (0.3 + 1.1 * at + 0.35 * np.sin(12 * at))
    assert (np.diff(true) < 0).any()
    assert (true < risk).any()
    assert (true > risk).any()
    confidences = 1 - 0.5 * at
    draws, broken, granted = 2000, 0, 0
    for _ in range(draws):
        # One clip disagrees at one confidence and not at another as in life: by a number of its own.
        luck = rng.random(clips)
        counts = np.searchsorted(np.sort(luck), true)
        row = certified(clips, [RiskRow(c, int(k), 0) for c, k in zip(confidences, counts, strict=True)], risk)
        if row is not None:
            granted += 1
            broken += bool(true[list(confidences).index(row.confidence)] > risk)
    assert granted > 0
    assert broken / draws <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / draws)
    assert broken, "a promise that is never broken promises too little, or this test cannot fail"


def test_a_promise_that_ignores_chance_would_be_broken():
    """The same draws, certified by the share itself: the test above can fail."""
    rng = np.random.default_rng(7)
    broken = sum(rng.binomial(600, 0.021) / 600 <= 0.02 for _ in range(500))
    assert broken / 500 > 3 * DELTA


# ---- rules ----------------------------------------------------------------------------------------------------------

GOOD = (RiskRow(0.99, 0, 800), RiskRow(0.9, 1, 500), RiskRow(0.5, 100, 300))
"""Of 1000 clips: at 0.9 certified for 2 %, at 0.5 not."""


def table(glances, risk=GOOD, **changes):
    return dataclasses.replace(ExitTable(glances, (1.5, 2.0, 0.5), 1000, 1000, risk), **changes)


def rules(*tables, confidence=0.8, precision="fp32", **asked):
    held = {precision: tables} if tables else {}
    return ExitRules(ExitSettings(confidence, held), "fp32", **asked)


def test_an_uncalibrated_bundle_stops_at_its_confidence_once_it_has_looked():
    plain = rules()
    assert not plain.calibrated
    at = plain.at(8)
    assert [at.threshold(step) for step in (LISTENED, GLANCED, FIRST_LOOK, 9)] == [NEVER, NEVER, 0.8, 0.8]
    assert at.temperature(5) == 1.0
    assert rules(confidence=None).at(8).threshold(FIRST_LOOK) == NEVER
    assert not plain.certifies(8)
    assert not rules(table(8), precision="int8", risk=0.02).calibrated  # another precision's tables are not its own


def test_a_calibrated_bundle_stops_looking_at_the_default_risk_and_never_before_it_looks():
    at = rules(table(4), table(8)).at(8)
    assert [at.threshold(step) for step in (LISTENED, GLANCED, FIRST_LOOK, 9)] == [NEVER, NEVER, 0.9, 0.9]
    assert at.temperatures == (1.5, 2.0, 0.5)
    assert certified(1000, GOOD, DEFAULT_RISK).confidence == 0.9


def test_an_asked_risk_lets_every_step_end_the_clip():
    at = rules(table(8), risk=0.02).at(8)
    assert [at.threshold(step) for step in (LISTENED, GLANCED, FIRST_LOOK, 9)] == [0.9] * 4
    assert rules(table(8), risk=0.2).at(8).threshold(LISTENED) == 0.5
    assert rules(table(8), risk=0.001).at(8).threshold(LISTENED) == NEVER


def test_an_asked_risk_holds_for_the_glances_that_it_was_measured_with():
    asked = rules(table(1), table(4, (RiskRow(0.7, 0, 1),)), risk=0.02)
    assert [asked.at(glances).threshold(LISTENED) for glances in (0, 1, 2, 4, 5, 16)] == [
        *(NEVER, 0.9, NEVER, 0.7, NEVER, NEVER)
    ]
    assert [asked.certifies(glances) for glances in (0, 1, 2, 4, 5)] == [False, True, False, True, False]


def test_tables_are_those_of_as_many_glances_or_of_the_nearest_fewer():
    held = rules(table(1, temperatures=(1.1,) * 3), table(4, temperatures=(4.4,) * 3))
    assert [held.at(glances).temperature(0) for glances in (0, 1, 3, 4, 16)] == [1.1, 1.1, 1.1, 4.4, 4.4]
    assert [held.at(glances).threshold(FIRST_LOOK) for glances in (0, 3, 16)] == [0.9] * 3


def test_given_thresholds_go_with_the_tables_temperatures_and_need_none():
    given_thresholds = (0.5, 2.0, 0.25)
    at = rules(table(4), thresholds=given_thresholds).at(4)
    assert (at.thresholds, at.temperatures) == (given_thresholds, (1.5, 2.0, 0.5))
    assert rules(thresholds=given_thresholds).at(4) == Exits(given_thresholds)


# ---- what a request comes to ----------------------------------------------------------------------------------------

AVERAGES = (
    OperatingPoint("fp32", 100_000_000, 1, 5, (0.5, 0.6, 0.7), 0.5, 100_000_000),
    OperatingPoint("fp32", 200_000_000, 4, 5, (0.8, 0.9, 2.0), 0.6, 200_000_000),
)
LIMITS = (OperatingPoint("fp32", 150_000_000, 2, 3, None, 0.6, 120_000_000),)


def calibrated(*, tables=True, points=(*LIMITS, *AVERAGES)):
    held = ExitSettings(0.8, {"fp32": (table(4), table(8))} if tables else {})
    return dataclasses.replace(fake_manifest(COST), exits=held, operating_points=points)


@pytest.mark.parametrize("risk", [-0.01, 1.0, 1.5])
def test_a_risk_that_is_no_share_is_a_budget_error(risk):
    with pytest.raises(BudgetError, match="exit risk"):
        strategy(calibrated(), "fp32", Options.of(exit_risk=risk))


def test_a_risk_asked_of_an_uncalibrated_bundle_says_what_to_run():
    with pytest.raises(BundleError, match="avgn-edge calibrate"):
        strategy(fake_manifest(COST), "fp32", Options.of(exit_risk=0.02))
    with pytest.raises(BundleError, match="int8"):
        strategy(calibrated(), "int8", Options.of(exit_risk=0.02))


def test_a_risk_that_no_table_certifies_is_granted_without_early_exit_and_says_so():
    assert strategy(calibrated(), "fp32", Options.of(exit_risk=0.02)).notes == ()
    for risk in (0.0, 0.0001):
        chosen = strategy(calibrated(), "fp32", Options.of(exit_risk=risk))
        assert chosen.rules.at(8).threshold(FIRST_LOOK) == NEVER
        assert len(chosen.notes) == 1
        assert "no early exit" in chosen.notes[0]
    other_glances = strategy(calibrated(), "fp32", Options.of(exit_risk=0.02, glances=5))
    assert "no early exit" in other_glances.notes[0]
    assert strategy(calibrated(), "fp32", Options.of(exit_risk=0.02, glances=4)).notes == ()


def test_fp16_without_tables_of_its_own_takes_those_of_fp32_and_says_so():
    own = strategy(calibrated(), "fp32", Options.of(exit_risk=0.02))
    borrowed = strategy(calibrated(), "fp16", Options.of(exit_risk=0.02))
    assert borrowed.rules.at(8) == own.rules.at(8)
    assert borrowed.notes == ("the exit risk was measured in fp32, this is fp16",)
    average = strategy(calibrated(), "fp16", Options.of(average="200mflops"))
    assert average.glances == 4
    assert average.notes == ("the average was measured in fp32, this is fp16",)
    assert strategy(calibrated(), "fp16", Options.of("160mflops")).points == LIMITS


def test_an_average_takes_the_nearest_point_and_its_thresholds():
    for asked, point in (("96mflops", 0), ("104mflops", 0), ("191mflops", 1), ("204mflops", 1)):
        chosen = strategy(calibrated(), "fp32", Options.of(average=asked))
        assert (chosen.glances, chosen.looks) == (AVERAGES[point].glances, 5)
        assert chosen.rules.at(chosen.glances).thresholds == AVERAGES[point].thresholds
        assert (chosen.points, chosen.notes) == ((), ())


@pytest.mark.parametrize("asked", ["110mflops", "145mflops", "185mflops"])
def test_an_average_between_points_that_lie_apart_takes_the_cheaper_and_says_so(asked):
    chosen = strategy(calibrated(), "fp32", Options.of(average=asked))
    assert chosen.glances == AVERAGES[0].glances
    assert chosen.notes == (
        f"the nearest operating point spends 0.1gflops on average, less than the {asked} asked for",
    )


def test_an_average_below_all_points_is_an_error_and_one_above_them_is_told():
    with pytest.raises(BudgetError, match="at least 100mflops"):
        strategy(calibrated(), "fp32", Options.of(average="90mflops"))
    chosen = strategy(calibrated(), "fp32", Options.of(average="2gflops"))
    assert chosen.glances == 4
    assert chosen.notes == ("the whole network spends 0.2gflops on average, less than the 2gflops asked for",)
    assert strategy(calibrated(), "fp32", Options.of(average="209mflops")).notes == ()


@pytest.mark.parametrize("more", [{"exit_risk": 0.02}, {"glances": 4}, {"looks": 2}, {"exit_risk": 7.0}], ids=str)
def test_an_average_decides_by_itself(more):
    with pytest.raises(BudgetError, match="average 200mflops"):
        strategy(calibrated(), "fp32", Options.of(average="200mflops", **more))


@pytest.mark.parametrize("asked", ["80ms", "none"])
def test_an_average_is_of_compute(asked):
    with pytest.raises(BudgetError, match="of compute"):
        strategy(calibrated(), "fp32", Options.of(average=asked))


def test_an_average_asked_of_an_uncalibrated_bundle_says_what_to_run():
    with pytest.raises(BundleError, match="avgn-edge calibrate"):
        strategy(calibrated(points=LIMITS), "fp32", Options.of(average="200mflops"))
    with pytest.raises(BundleError, match="int8"):
        strategy(calibrated(), "int8", Options.of(average="200mflops"))


def test_a_promise_names_its_risk_and_its_confidence():
    assert "2.0%" in promise(0.02)
    assert "95%" in promise(0.02)
    assert "calibration clips" in promise(0.02)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 40), st.integers(0, 40))
def test_the_smallest_risk_is_certified_and_a_hundredth_of_a_percent_less_is_not(clips, first, second):
    rows = (RiskRow(0.99, first, 1), RiskRow(0.9, second, 1))
    least = smallest_risk(clips, rows)
    if first >= clips:
        assert least == 1.0
        return
    assert certified(clips, rows, least) is not None
    assert certified(clips, rows, least - 1e-4) is None


def test_the_smallest_risk_without_a_disagreement_is_known():
    assert smallest_risk(149, (RiskRow(0.99, 0, 1),)) == pytest.approx(1 - DELTA ** (1 / 149), abs=1e-4)
    assert smallest_risk(0, ()) == 1.0
