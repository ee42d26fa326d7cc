"""Frames that are expected decode in a thread: early, once, one call at a time, and as if there were no thread."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import SoundSpec, VideoSpec, make_media, number_of, tone

from avgn_edge._base.errors import ClipError
from avgn_edge.media import open_clip
from avgn_edge.media.clip import ClipAround, OutOfTime
from avgn_edge.media.prefetch import AheadClip

NAME = "avgn-edge-ahead"
PATIENCE_S = 20.0


def running():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def wait_for_the_thread():
    for thread in running():
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert running() == []


class Fake:
    """A clip that notes each call of `frames`; `gate`, while it is not open, holds a call until it is interrupted."""

    name = "fake"
    warnings = ()
    display_size = (320, 240)

    def __init__(self, broken=(), interruptible=True):
        self.calls, self.threads, self.closed = [], [], False
        self.begun, self.gate, self._inside = threading.Event(), threading.Event(), threading.Lock()
        self.gate.set()
        self._broken = set(broken)
        if interruptible:
            self.interrupt = threading.Event()

    def frames(self, indices, deadline=None):
        assert self._inside.acquire(blocking=False), "in `frames` twice at once"
        try:
            self.calls.append(list(indices))
            self.threads.append(threading.current_thread().name)
            self.begun.set()
            while not self.gate.wait(0.001):
                if self.interrupt.is_set():
                    raise OutOfTime
            if self._broken & set(indices):
                raise ClipError(self.name, "a frame is broken", "mend it")
            return [np.full((2, 2, 3), index, dtype=np.uint8) for index in indices]
        finally:
            self._inside.release()

    def work(self, indices):
        assert not self._inside.locked()
        return len(indices)

    def close(self):
        assert not self._inside.locked()
        self.closed = True


def numbers(frames):
    return [int(frame[0, 0, 0]) for frame in frames]


def test_what_is_expected_is_decoded_before_it_is_asked_for_in_one_call_of_another_thread():
    fake = Fake()
    with AheadClip(fake) as clip:
        clip.expect([5, 2, 9])
        wait_for_the_thread()
        assert fake.calls == [[5, 2, 9]]
        assert fake.threads == [NAME]
        assert numbers(clip.frames([2, 9, 5, 2])) == [2, 9, 5, 2]
        assert len(fake.calls) == 1
        assert clip.ahead_s > 0


def test_frames_waits_for_what_is_under_way_and_decodes_the_rest():
    fake = Fake()
    fake.gate.clear()
    with AheadClip(fake) as clip:
        clip.expect([1, 2])
        assert fake.begun.wait(PATIENCE_S)
        threading.Timer(0.05, fake.gate.set).start()
        assert numbers(clip.frames([2, 3])) == [2, 3]
    assert fake.calls == [[1, 2], [3]]
    assert fake.threads == [NAME, threading.current_thread().name]


def test_a_later_hint_replaces_what_was_not_begun():
    fake = Fake()
    fake.gate.clear()
    with AheadClip(fake) as clip:
        clip.expect([1])
        assert fake.begun.wait(PATIENCE_S)
        clip.expect([2, 3])
        clip.expect([4, 1])
        fake.gate.set()
        wait_for_the_thread()
        assert fake.calls == [[1], [4]]
        clip.expect([])
        wait_for_the_thread()
        assert fake.calls == [[1], [4]]


def test_a_hint_that_is_taken_back_before_it_is_begun_decodes_nothing():
    fake = Fake()
    fake.gate.clear()
    with AheadClip(fake) as clip:
        clip.expect([1])
        assert fake.begun.wait(PATIENCE_S)
        clip.expect([2])
        clip.expect([])
        fake.gate.set()
        wait_for_the_thread()
    assert fake.calls == [[1]]


def test_an_error_surfaces_when_its_frame_is_asked_for_and_not_otherwise():
    fake = Fake(broken=[3])
    with AheadClip(fake) as clip:
        clip.expect([1, 3])
        wait_for_the_thread()
        assert numbers(clip.frames([1])) == [1]
        with pytest.raises(ClipError, match="a frame is broken"):
            clip.frames([3])
        assert numbers(clip.frames([1, 4])) == [1, 4]


def test_closing_in_the_middle_of_a_decode_interrupts_it():
    fake = Fake()
    fake.gate.clear()
    clip = AheadClip(fake)
    clip.expect([1])
    assert fake.begun.wait(PATIENCE_S)
    clip.close()
    assert running() == []
    assert fake.closed
    with pytest.raises(ClipError, match="closed"):
        clip.frames([1])


def test_stopping_leaves_the_clip_open_and_of_use():
    fake = Fake()
    fake.gate.clear()
    clip = AheadClip(fake)
    clip.expect([1])
    assert fake.begun.wait(PATIENCE_S)
    clip.stop()
    clip.stop()
    assert running() == []
    assert not fake.closed
    assert not fake.interrupt.is_set()
    fake.gate.set()
    clip.expect([2])  # comes too late
    assert running() == []
    assert numbers(clip.frames([1])) == [1]


def test_a_deadline_is_kept_while_something_else_is_under_way():
    fake = Fake()
    fake.gate.clear()
    with AheadClip(fake) as clip:
        clip.expect([1])
        assert fake.begun.wait(PATIENCE_S)
        with pytest.raises(OutOfTime):
            clip.frames([1], time.perf_counter() + 0.01)
        fake.gate.set()
        assert numbers(clip.frames([1])) == [1]
    assert fake.calls == [[1]]


@pytest.mark.parametrize("kind", ["not interruptible", "no video"])
def test_of_a_clip_that_is_for_one_thread_only_nothing_is_decoded_ahead(kind):
    fake = Fake(interruptible=kind == "no video")
    if kind == "no video":
        fake.interrupt = None
    with AheadClip(fake) as clip:
        clip.expect([1])
        assert running() == []
        assert fake.calls == []
        assert numbers(clip.frames([1])) == [1]


ACTS = st.tuples(st.sampled_from(["expect", "frames", "work", "pause"]), st.lists(st.integers(0, 6), max_size=4))


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, max_size=12), st.booleans())
def test_whatever_is_asked_in_whatever_order_frames_are_right_and_decoded_once(acts, stop):
    fake = Fake()
    asked, hinted = set(), set()
    with AheadClip(fake) as clip:
        for act, indices in acts:
            if act == "expect":
                clip.expect(indices)
                hinted |= set(indices)
            elif act == "frames":
                assert numbers(clip.frames(indices)) == indices
                asked |= set(indices)
            elif act == "work":
                clip.work(indices)
            else:
                wait_for_the_thread()
        if stop:
            clip.stop()
    decoded = [index for call in fake.calls for index in call]
    assert len(decoded) == len(set(decoded))
    assert asked <= set(decoded) <= asked | hinted


# ---- real files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movie():
    video = VideoSpec(times=[i / 10 for i in range(160)], gop=40)
    return make_media(video, SoundSpec(tone(440, 16, 44_100)))


@pytest.mark.parametrize("around", [lambda clip: clip, ClipAround], ids=["a file", "a clip around a file"])
def test_sound_and_frames_side_by_side_are_those_of_one_after_the_other(movie, around):
    order = (7, 0, 15, 3, 11, 1, 5, 9)
    with open_clip(movie) as plain:
        windows, heard = plain.windows()
        frames = plain.frames(order)
    for source in (movie, io.BytesIO(movie)) * 3:
        with AheadClip(around(open_clip(source))) as clip:
            clip.expect(order)
            assert running() or clip.ahead_s  # it is decoding, or was
            together, same = clip.windows()
            np.testing.assert_array_equal(together, windows)
            np.testing.assert_array_equal(same, heard)
            for one, other in zip(clip.frames(order), frames, strict=True):
                np.testing.assert_array_equal(one, other)
            assert clip.conversions == len(order)
            assert clip.warnings == plain.warnings
            assert clip.display_size == plain.display_size


def test_a_file_s_decoding_is_given_up_before_the_next_packet(movie):
    with open_clip(movie) as clip:
        last = number_of(clip.frames([15])[0])
    with open_clip(movie) as clip:
        clip.interrupt.set()
        with pytest.raises(OutOfTime):
            clip.frames([15])
        clip.interrupt.clear()
        assert number_of(clip.frames([15])[0]) == last
    with AheadClip(open_clip(movie)) as clip:
        clip.expect(range(16))
        clip.stop()
        assert number_of(clip.frames([15])[0]) == last


def test_a_clip_of_sound_alone_has_nothing_to_decode_ahead():
    with AheadClip(open_clip(make_media(None, SoundSpec(tone(440, 2, 44_100))))) as clip:
        clip.expect([0])
        assert running() == []
        assert clip.windows()[1].any()
