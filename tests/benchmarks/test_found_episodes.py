"""Segments find episodes by their peaks, each once."""

from __future__ import annotations

import pytest
from highlight_makers import made_highlights

from benchmarks.highlights import compare


def test_two_segments_in_one_episode_find_it_once_and_the_second_is_wrong():
    told = made_highlights((10.0, 12.0), (12.0, 14.0), (50.0, 52.0))
    found = compare(told.segments, [(9.0, 15.0), (30.0, 33.0)], ["dog", "cat"])
    assert (found.episodes, found.found, found.segments, found.labelled) == (2, 1, 3, 1)
    assert found.recall == 0.5
    assert found.precision == pytest.approx(1 / 3)
    assert found.overlap == pytest.approx(2 / 6)


def test_a_segment_beside_an_episode_does_not_find_it_though_it_reaches_into_it():
    told = made_highlights((10.0, 16.0))  # its peak is at 13
    assert compare(told.segments, [(14.0, 16.0)], ["dog"]).found == 0


def test_nothing_found_and_nothing_to_find_are_zero():
    found = compare((), [], [])
    assert (found.recall, found.precision, found.overlap) == (0.0, 0.0, 0.0)
