"""What waits to be taken is bounded: the newest frames, and sound as long as it can be."""

from __future__ import annotations

import threading

import pytest
from live_makers import FakeClock, FakeConnection, picture, pieces, sound

from avgn_edge._base.errors import ClipError
from avgn_edge.media.live.connection import Picture, Sound, Status
from avgn_edge.media.live.feed import MOST_PICTURES, Feed, Inbox
from avgn_edge.media.live.live_reader import Reading

FILE = Reading("file", live=False, again=False, speed=None, drains=False)


def drain(inbox):
    items = []
    while (item := inbox.get(0.0)) is not None:
        items.append(item)
    return items


def test_of_frames_the_newest_are_kept_and_of_sound_everything():
    inbox = Inbox()
    for number in range(60):
        inbox.put(Picture(picture(), number / 30))
        inbox.put(Sound(sound(0.03), number / 30))
    items = drain(inbox)
    assert [item.time_s for item in items if isinstance(item, Picture)] == [n / 30 for n in range(52, 60)]
    assert len([item for item in items if isinstance(item, Sound)]) == 60
    assert inbox.dropped_pictures == 60 - MOST_PICTURES


def test_sound_is_dropped_only_when_there_is_too_much_and_that_is_said():
    inbox = Inbox()
    for number in range(21):
        inbox.put(Sound(sound(0.5), number / 2))
    items = drain(inbox)
    assert isinstance(items[0], Status)
    assert items[0].text == "10.5 s behind: 5.5 s of sound were left out"
    assert [item.time_s for item in items[1:]] == [number / 2 for number in range(11, 21)]


def test_a_patient_inbox_drops_nothing():
    inbox = Inbox(patient=True)

    def fill():
        for number in range(200):
            inbox.put(Picture(picture(), number / 30))
            inbox.put(Sound(sound(0.1), number / 30))
        inbox.close()

    thread = threading.Thread(target=fill)
    thread.start()
    items = []
    while not inbox.over:
        item = inbox.get(5.0)
        items += [] if item is None else [item]
    thread.join()
    assert len(items) == 400
    assert inbox.dropped_pictures == 0


def test_frames_without_sound_do_not_pile_up_in_a_patient_inbox():
    inbox = Inbox(patient=True)
    done = []

    def fill():
        for number in range(50):
            inbox.put(Picture(picture(), number / 30))
            done.append(number)

    thread = threading.Thread(target=fill, daemon=True)
    thread.start()
    assert inbox.get(5.0) is not None
    thread.join(0.2)
    assert len(done) <= MOST_PICTURES + 1
    inbox.close()
    thread.join(5.0)
    assert not thread.is_alive()


def test_what_a_reader_raises_comes_out_after_what_it_had_read():
    clock = FakeClock()

    def connect():
        raise OSError("broken")

    with Feed([(FILE, connect)], clock) as feed, pytest.raises(ClipError, match="file: broken"):
        feed.inbox.get(5.0)
    assert feed.inbox.over


def test_two_sources_are_over_when_both_are():
    clock = FakeClock()
    camera = (FILE, lambda: FakeConnection(clock, pieces(0, 1, audio=False), ends=True, takes_s=lambda _: 0.0))
    longer = (FILE, lambda: FakeConnection(clock, pieces(0, 2), ends=True, takes_s=lambda _: 0.0))
    items = []
    with Feed([camera, longer], clock, patient=True) as feed:
        while not feed.inbox.over:
            item = feed.inbox.get(5.0)
            items += [] if item is None else [item]
    assert [item.status for item in items if isinstance(item, Status)].count("ended") == 2
    assert sum(isinstance(item, Picture) for item in items) == 30
