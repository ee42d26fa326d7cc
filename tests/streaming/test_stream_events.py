"""When something begins and when it ends."""

from __future__ import annotations

import numpy as np
import pytest

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge.runtime.stream.events import EventFinder, EventSettings

LABELS = ("dog", "rain")
SHARP = EventSettings(on=0.5, off=0.3, smoothing_s=0.0, cooldown_s=0.0)


def follow(settings, saliency, dog, every=0.5, epoch_s=None):
    """The events of a row of moments, as (what, label, seconds at which it was told)."""
    finder, told = EventFinder(LABELS, settings, epoch_s), []
    for number, (s, p) in enumerate(zip(saliency, dog, strict=True)):
        scores = np.array([p, 1 - p], dtype=np.float32) if p >= 0.5 else np.array([p, 0.0], dtype=np.float32)
        told += [(event.event, event.label, number * every, event) for event in finder.take(number * every, s, scores)]
    return told, finder


def kinds(told):
    return [(what, label, at) for what, label, at, _ in told]


def test_a_class_begins_and_ends_once():
    told, _ = follow(SHARP, [1] * 8, [0, 0, 0.9, 0.9, 0.9, 0, 0, 0])
    assert kinds(told) == [("start", "dog", 1.0), ("end", "dog", 2.5)]
    assert (told[1][3].start_s, told[1][3].end_s) == (1.0, 2.5)
    assert told[1][3].score == pytest.approx(0.9)


def test_between_the_thresholds_nothing_begins_and_nothing_ends():
    told, finder = follow(SHARP, [1] * 7, [0.4, 0.4, 0.9, 0.4, 0.4, 0.4, 0.4])
    assert kinds(told) == [("start", "dog", 1.0)]
    assert finder.running == ("dog",)
    assert told[0][3].start_s == 0.0  # its evidence began to rise there


@pytest.mark.parametrize(("saliency", "score"), [(0.1, 1.0), (1.0, 0.1), (-3.0, 1.0)])
def test_neither_saliency_nor_a_score_alone_is_an_event(saliency, score):
    told, _ = follow(SHARP, [saliency] * 20, [score] * 20)
    assert not told


def test_one_moment_among_others_is_smoothed_away_and_a_lasting_class_is_not():
    smooth = EventSettings(on=0.5, off=0.3, smoothing_s=1.0, cooldown_s=0.0)
    assert not follow(smooth, [1] * 6, [0, 0, 1.0, 0, 0, 0])[0]
    assert kinds(follow(smooth, [1] * 8, [0, 0, 1, 1, 1, 1, 1, 1])[0])[0] == ("start", "dog", 1.5)


def test_what_is_too_short_is_not_told_and_what_lasts_is_told_late():
    patient = EventSettings(on=0.5, off=0.3, smoothing_s=0.0, min_duration_s=1.0, cooldown_s=0.0)
    assert not follow(patient, [1] * 6, [0, 0.9, 0.9, 0, 0, 0])[0]
    told, _ = follow(patient, [1] * 8, [0, 0.9, 0.9, 0.9, 0.9, 0, 0, 0])
    assert kinds(told) == [("start", "dog", 1.5), ("end", "dog", 2.5)]
    assert told[0][3].start_s == 0.5


def test_a_class_does_not_begin_again_until_it_has_cooled_down():
    cool = EventSettings(on=0.5, off=0.3, smoothing_s=0.0, cooldown_s=2.0)
    told, _ = follow(cool, [1] * 10, [0.9, 0, 0.9, 0, 0.9, 0.9, 0.9, 0, 0, 0])
    assert kinds(told) == [("start", "dog", 0.0), ("end", "dog", 0.5), ("start", "dog", 2.5), ("end", "dog", 3.5)]


def test_the_end_of_the_stream_ends_what_is_running():
    _, finder = follow(SHARP, [1, 1], [0.9, 0.9])
    (event,) = finder.finish()
    assert (event.event, event.label, event.end_s) == ("end", "dog", 0.5)
    assert finder.finish() == []
    assert finder.running == ()


def test_live_events_have_the_time_of_day():
    told, _ = follow(SHARP, [1] * 3, [0, 0.9, 0], epoch_s=1_700_000_000.0)
    assert told[0][3].start_utc == "2023-11-14T22:13:20.500+00:00"
    assert told[1][3].end_utc == "2023-11-14T22:13:21.000+00:00"
    assert "start_utc" not in follow(SHARP, [1], [0.9])[0][0][3].to_dict()


@pytest.mark.parametrize(
    "wrong", [{"on": 0.2, "off": 0.3}, {"off": 0.0}, {"on": 1.1}, {"cooldown_s": -1.0}, {"smoothing_s": float("nan")}]
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(AvgnEdgeError):
        EventSettings(**wrong)
