"""A source that is lost is opened again; one that is slow is not waited for."""

from __future__ import annotations

from itertools import islice, pairwise
from threading import Event

import pytest
from live_makers import FakeClock, FakeConnection, pieces

from avgn_edge._base.errors import ClipError
from avgn_edge.media.live.connection import Picture, Piece, Sound, Status
from avgn_edge.media.live.live_reader import Reader, Reading

LIVE = Reading("cam")
FILE = Reading("file", live=False, again=False, speed=1.0, drains=False)


def reader_of(clock, connections, reading=LIVE):
    """A reader whose source opens as the next of `connections`, which may be errors."""
    row = iter(connections)

    def connect():
        following = next(row)
        if isinstance(following, Exception):
            raise following
        return following

    return Reader(reading, connect, clock, Event())


def states(items):
    return [item.status for item in items if isinstance(item, Status)]


def test_a_source_that_vanishes_and_comes_back_goes_on_at_the_clocks_time():
    clock = FakeClock()
    gone = [OSError("refused")] * 3
    source = [FakeConnection(clock, pieces(50, 53), OSError("reset")), *gone, FakeConnection(clock, pieces(0, 2))]
    items = list(islice(reader_of(clock, source).items(), 2 * 30 + 2 * 20 + 1 + 2 * 4 + 1))
    assert states(items) == ["connected", *["lost", "reconnecting"] * 4, "connected"]
    assert clock.waits == [1, 2, 4, 8]
    times = [item.time_s for item in items if isinstance(item, Picture)]
    assert times[:30] == pytest.approx([at / 10 for at in range(30)], abs=1e-6)
    back_s = 2.9 + 1 + 2 + 4 + 8
    assert times[30:] == pytest.approx([back_s + at / 10 for at in range(20)], abs=1e-6)
    assert source[0].closed


def test_the_waits_double_up_to_half_a_minute_and_begin_anew_once_it_was_there():
    clock = FakeClock()
    source = [OSError("no")] * 7 + [FakeConnection(clock, pieces(0, 1)), OSError("no"), OSError("no")]
    list(islice(reader_of(clock, source).items(), 2 * 7 + 1 + 20 + 2 * 3 + 1 - 2))
    assert clock.waits[:9] == [1, 2, 4, 8, 16, 30, 30, 1, 2]


def test_a_source_that_stays_away_is_given_up_in_one_line():
    clock = FakeClock()
    reader = reader_of(clock, [OSError("no route")] * 99, Reading("cam", give_up_s=10.0))
    with pytest.raises(ClipError, match="cam: no route, and it did not come back in 10 s: check that it is there"):
        list(reader.items())
    assert sum(clock.waits) == pytest.approx(10.0)


def test_a_live_source_that_ends_was_lost_and_a_file_is_over():
    clock = FakeClock()
    items = list(reader_of(clock, [FakeConnection(clock, pieces(0, 1), ends=True)], FILE).items())
    assert states(items) == ["connected", "ended"]
    clock = FakeClock()
    endless = (FakeConnection(clock, pieces(0, 1)) for _ in range(3))
    assert states(islice(reader_of(clock, endless).items(), 60)).count("lost") >= 2


def test_a_file_that_cannot_be_opened_is_an_error_at_once():
    clock = FakeClock()
    with pytest.raises(ClipError, match="file: broken"):
        list(reader_of(clock, [OSError("broken")], FILE).items())
    assert not clock.waits


def test_a_file_is_handed_out_no_faster_than_it_plays():
    clock = FakeClock()
    given = FakeConnection(clock, pieces(0, 5), ends=True, takes_s=lambda _: 0.001)
    for item in reader_of(clock, [given], FILE).items():
        if not isinstance(item, Status):
            assert clock.now() - 1000.0 == pytest.approx(item.time_s, abs=0.01)
    assert given.hurries == []


def test_at_twice_the_speed_a_file_takes_half_the_time():
    clock = FakeClock()
    given = FakeConnection(clock, pieces(0, 10), ends=True, takes_s=lambda _: 0.0)
    list(reader_of(clock, [given], Reading("file", live=False, again=False, speed=2.0, drains=False)).items())
    assert clock.now() - 1000.0 == pytest.approx(5.0, abs=0.1)


def test_decoding_that_is_too_slow_leaves_frames_out_says_so_and_takes_them_up_again():
    clock = FakeClock()

    def slow(connection):
        # Decoding everything takes twice as long as playing it; leaving frames out is fast.
        return 0.001 if connection.hurries and connection.hurries[-1] else 0.1

    given = FakeConnection(clock, pieces(0, 60), ends=True, takes_s=slow)
    items = list(reader_of(clock, [given], FILE).items())
    assert given.hurries[:2] == [1, 0]
    told = [item.text for item in items if isinstance(item, Status) and item.status == "behind"]
    assert told[0].endswith(" s behind: frames that no other needs are left out")
    assert told[1] == "caught up: every frame is decoded again"
    late = [item for item in items if isinstance(item, Picture)]
    assert len(late) == 600


def test_decoding_that_is_hopeless_is_brought_down_to_key_frames():
    clock = FakeClock()
    given = FakeConnection(clock, pieces(0, 20), ends=True, takes_s=lambda _: 0.2)
    list(reader_of(clock, [given], FILE).items())
    assert given.hurries == [1, 2]


def test_a_live_source_that_stalls_is_late_and_not_hurried():
    clock = FakeClock()
    connection = FakeConnection(clock, list(pieces(0, 3)) + list(pieces(3, 6)))
    original = connection.pieces

    def stalled():
        for number, piece in enumerate(original()):
            if number == 30:
                clock.time += 4.0
            yield Piece(piece.frame, piece.time_s, piece.lasts_s, 4.0) if number == 30 else piece

    connection.pieces = stalled
    items = list(islice(reader_of(clock, [connection]).items(), 121))
    assert connection.hurries == []
    times = [item.time_s for item in items if isinstance(item, Picture)]
    assert times == pytest.approx([at / 10 for at in range(60)], abs=1e-6)


def test_after_a_pause_that_is_not_made_up_time_is_our_clocks_again_within_two_minutes():
    clock = FakeClock()
    connection = FakeConnection(clock, pieces(0, 200, audio=False))
    original = connection.pieces

    def paused():
        for number, piece in enumerate(original()):
            clock.time += 4.0 if number == 100 else 0.0
            yield piece

    connection.pieces = paused
    items = [item for item in islice(reader_of(clock, [connection]).items(), 2001) if isinstance(item, Picture)]
    assert items[150].time_s == pytest.approx(15.0, abs=1e-6)
    assert items[-1].time_s == pytest.approx(clock.now() - 1000.0, abs=0.5)


def test_segments_that_come_at_once_keep_their_times():
    clock = FakeClock()

    class Segments(FakeConnection):
        def pieces(self):
            for number, piece in enumerate(self._given):
                waited_s = 0.0
                if number and number % 120 == 0:  # six seconds of frames and sound, then nothing for six
                    waited_s = 6.0
                    clock.time += waited_s
                yield Piece(piece.frame, piece.time_s, piece.lasts_s, waited_s)

    connection = Segments(clock, pieces(0, 180))
    items = [item for item in islice(reader_of(clock, [connection]).items(), 3601) if isinstance(item, Picture)]
    assert [item.time_s for item in items] == pytest.approx([at / 10 for at in range(1800)], abs=1e-6)
    assert connection.hurries == []


def test_a_clock_that_runs_slower_than_ours_does_not_drift_away():
    clock = FakeClock()

    class Slow(FakeConnection):
        def pieces(self):
            for piece in super().pieces():
                clock.time += 0.001  # a hundredth
                yield piece

    given = Slow(clock, pieces(0, 400, audio=False))
    items = [item for item in islice(reader_of(clock, [given]).items(), 4001) if isinstance(item, Picture)]
    assert clock.now() - 1000.0 > 403.5
    assert max(abs(b.time_s - a.time_s - 0.1) for a, b in pairwise(items)) < 1.0
    assert items[-1].time_s == pytest.approx(clock.now() - 1000.0, abs=1.3)


def test_sound_and_pictures_keep_their_kind():
    clock = FakeClock()
    items = list(islice(reader_of(clock, [FakeConnection(clock, pieces(0, 1))]).items(), 21))
    assert sum(isinstance(item, Sound) for item in items) == 10
    assert sum(isinstance(item, Picture) for item in items) == 10


def test_stopping_ends_it_without_another_attempt():
    clock, stop = FakeClock(), Event()
    reader = Reader(LIVE, lambda: FakeConnection(clock, pieces(0, 9)), clock, stop)
    items = []
    for item in reader.items():
        items.append(item)
        if len(items) == 5:
            stop.set()
    assert len(items) == 5
