"""One time for video and sound, whatever the source's stamps do."""

from __future__ import annotations

import pytest

from avgn_edge.media.live.live_reader import Timeline


def connected(at=0.0):
    timeline = Timeline()
    timeline.connect(at)
    return timeline


def test_the_first_stamp_is_where_the_stream_is_and_both_tracks_keep_their_distance():
    timeline = connected(7.0)
    assert timeline.place("video", 500.0, 0.04) == pytest.approx(7.0)
    assert timeline.place("audio", 500.2, 0.02) == pytest.approx(7.2)
    assert timeline.place("video", 500.04, 0.04) == pytest.approx(7.04)


@pytest.mark.parametrize("to_s", [0.0, 95_443.7])
def test_both_tracks_jump_together_and_the_stream_does_not(to_s):
    timeline, placed = connected(), []
    for at in range(10):
        placed.append(timeline.place("video", 100 + at / 10, 0.1))
        timeline.place("audio", 100 + at / 10, 0.1)
    for at in range(10):
        placed.append(timeline.place("video", to_s + at / 10, 0.1))
        # The sound of before the jump may come after the first frames behind it.
        heard_s = 101 + at / 10 if at < 3 else to_s + at / 10
        assert timeline.place("audio", heard_s, 0.1) == pytest.approx(1 + at / 10, abs=0.31)
    assert placed == pytest.approx([at / 10 for at in range(20)])


def test_after_a_jump_a_live_source_goes_on_where_the_clock_is():
    timeline = connected()
    timeline.place("video", 10.0, 0.1, 0.0)
    assert timeline.place("video", 5000.0, 0.1, 30.0) == pytest.approx(30.0)


def test_pieces_without_stamps_follow_one_another():
    timeline = connected(3.0)
    assert [timeline.place("audio", None, 0.5) for _ in range(3)] == pytest.approx([3.0, 3.5, 4.0])


def test_a_track_that_begins_far_from_the_other_begins_where_that_is():
    timeline = connected()
    timeline.place("video", 100.0, 0.1)
    assert timeline.place("audio", 0.0, 0.1) == pytest.approx(0.1)


def test_a_short_gap_is_kept():
    timeline = connected()
    timeline.place("video", 0.0, 0.1)
    assert timeline.place("video", 3.0, 0.1) == pytest.approx(3.0)


def test_frames_out_of_order_by_a_little_stay_where_they_are():
    timeline = connected()
    timeline.place("video", 1.0, 0.1)
    assert timeline.place("video", 0.9, 0.1) == pytest.approx(-0.1)


def test_time_can_be_moved():
    timeline = connected()
    timeline.place("video", 1.0, 0.1)
    timeline.move(0.5)
    assert timeline.place("video", 1.1, 0.1) == pytest.approx(0.6)
