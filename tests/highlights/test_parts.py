"""The parts of the search: salience, evidence, choosing, segments."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from highlight_makers import SenseEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from network_makers import FakeBundle, fake_manifest

from avgn_edge.architectures.avgn.highlight_policy import AvgnHighlights
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.highlights.scoring import (
    Salience,
    answers,
    moment_times,
    scores,
    sureness,
    window_count,
)
from avgn_edge.runtime.highlights.search import interesting, spread
from avgn_edge.runtime.highlights.segments import HighlightSettings, find_spans
from avgn_edge.runtime.recognizer import Recognizer


def a_policy(count):
    manifest = fake_manifest(dict.fromkeys(GRAPHS, (0, 0)))
    engine = SenseEngine(manifest)
    runner, _ = Recognizer(FakeBundle(manifest), engine, "fp32")._account(Budget())
    return AvgnHighlights(manifest, runner, count), engine, len(manifest.labels)


def test_moments_are_as_far_apart_as_asked_or_a_little_more_and_enough():
    times = moment_times(61.0, 0.75, 16)
    assert 0.75 <= times[1] - times[0] < 0.77
    assert times[0] == pytest.approx((times[1] - times[0]) / 2)
    assert len(moment_times(3.0, 0.75, 16)) == 16


@pytest.mark.parametrize("count", [16, 17, 23, 24, 25, 40, 100])
def test_windows_cover_every_moment_and_inner_ones_twice(count):
    policy, engine, _ = a_policy(count)
    policy.seen.audio[:, 0] = np.arange(count) + 1
    policy.seen.heard[:] = True
    salience = Salience(policy, 16)
    np.testing.assert_allclose(salience.update(), np.arange(count) + 1, rtol=1e-6)
    assert len(engine.items["saliency"]) == window_count(count, 16)
    before = len(engine.items["saliency"])
    salience.update([count // 2])
    assert 1 <= len(engine.items["saliency"]) - before <= 3
    salience.update([])
    assert len(engine.items["saliency"]) - before <= 3


def test_a_change_in_one_moment_shows_in_the_updated_saliency():
    policy, _, _ = a_policy(64)
    salience = Salience(policy, 16)
    assert salience.update()[30] == pytest.approx(0.1)
    policy.seen.visual[30], policy.seen.glanced[30] = 1.0, True
    assert salience.update([30])[30] == pytest.approx(1.0)


def test_sound_and_glance_that_agree_are_surer_than_either_and_silence_says_nothing():
    policy, _, classes = a_policy(16)
    seen = policy.seen
    sure = np.full(classes, 0.1 / (classes - 1), np.float32)
    sure[2] = 0.9
    seen.sound_probabilities.update({0: sure, 1: sure})
    seen.glance_probabilities.update({1: sure, 2: sure})
    says = answers(seen, classes, "single-label")
    np.testing.assert_allclose(says.sum(axis=1), 1, rtol=1e-5)
    level = sureness(says, "single-label")
    assert level[1] > level[0] == pytest.approx(level[2], rel=1e-4)
    assert level[3] == pytest.approx(0, abs=1e-6)
    assert (scores(np.full(16, -1.0, np.float32), says, "single-label") == 0).all()
    several = answers(seen, classes, "multi-label")
    assert several[1, 2] == pytest.approx(0.9)
    assert several[3].max() == 0


def test_interesting_moments_are_the_best_apart_and_untaken():
    interest = np.array([0.1, 0.9, 0.8, 0.7, 0.02, 0.6], np.float32)
    none = np.zeros(6, np.bool_)
    assert interesting(interest, none, 3, 0.05, 1) == [1, 2, 3]
    assert interesting(interest, none, 9, 0.05, 2) == [1, 3, 5]
    taken = none.copy()
    taken[1] = True
    assert interesting(interest, taken, 2, 0.05, 1) == [2, 3]
    assert interesting(interest, none, 9, 0.95, 1) == []


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 70))
@settings(max_examples=60, deadline=None)
def test_spread_takes_each_moment_once_and_halves_the_gaps(taken, count):
    flags = np.array(taken)
    chosen = spread(flags, count, lambda _: 0)
    assert len(set(chosen)) == len(chosen) == min(count, int((~flags).sum()))
    assert not flags[chosen].any()
    if count and not flags.any():
        after = np.diff([-1, *sorted(chosen), len(flags)])
        assert after.max() <= 4 * max(1, after.min()) + 4


def test_spread_takes_the_moment_of_the_least_work_in_the_middle_of_a_gap():
    cheap = {28}
    assert spread(np.zeros(60, np.bool_), 1, lambda moment: 0 if moment in cheap else 5) == [28]
    assert spread(np.zeros(60, np.bool_), 1, lambda _: 1) == [29]
    assert spread(np.zeros(60, np.bool_), 1, lambda moment: 0 if moment == 3 else 5) == [29]  # too far off


SETTINGS = HighlightSettings(least_share=0.0, least_score=0.2)


def spans_of(values, most=10, changes=SETTINGS):
    values = np.asarray(values, np.float32)
    return find_spans(np.arange(len(values)) + 0.5, values, float(len(values)), most, changes)


def test_a_segment_reaches_as_far_as_scores_hold_and_across_a_short_dip():
    values = [0, 0, 0, 0.5, 1.0, 0.0, 0.8, 0, 0, 0, 0, 0]
    (span,) = spans_of(values)
    assert (span.start_s, span.end_s, span.peak) == (3.0, 7.0, 4)
    values = [0, 0, 0, 0.5, 1.0, 0, 0, 0, 0, 0.8, 0, 0]
    assert [span.peak for span in spans_of(values)] == [4, 9]


def test_segments_are_no_shorter_and_no_longer_than_asked():
    (short,) = spans_of([0] * 10 + [1.0] + [0] * 10, changes=HighlightSettings(least_s=3.0))
    assert (short.start_s, short.end_s) == (9.0, 12.0)
    (edge,) = spans_of([1.0] + [0] * 10, changes=HighlightSettings(least_s=3.0))
    assert (edge.start_s, edge.end_s) == (0.0, 3.0)
    (long,) = spans_of([0.9] * 30 + [1.0] + [0.9] * 30, most=1)
    assert long.end_s - long.start_s == pytest.approx(20.0)
    assert long.start_s < 30.5 < long.end_s


def test_a_peak_far_below_the_best_is_no_segment():
    values = np.zeros(40, np.float32)
    values[5], values[20], values[30] = 1.0, 0.7, 0.5
    assert [span.peak for span in spans_of(values, changes=HighlightSettings())] == [5, 20]


@given(st.lists(st.floats(0, 2, width=32), min_size=16, max_size=120), st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_segments_never_overlap_lie_in_the_video_and_come_best_first(values, most):
    found = spans_of(values, most)
    assert len(found) <= most
    assert [span.score for span in found] == sorted((span.score for span in found), reverse=True)
    ordered = sorted(found, key=lambda span: span.start_s)
    for span in found:
        assert 0 <= span.start_s < span.end_s <= len(values)
        assert span.end_s - span.start_s <= 20.0 + 1e-9
        assert span.start_s <= span.peak + 0.5 <= span.end_s
        assert span.score >= 0.2
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in pairwise(ordered))
