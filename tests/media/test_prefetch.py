"""Frames are prefetched in a thread: early, once, one call at a time, and as if there were no thread."""

from __future__ import annotations

import io
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import SoundSpec, VideoSpec, make_media, number_of, tone

from avgn_edge._base.errors import ClipError
from avgn_edge.media import open_clip
from avgn_edge.media.clip import OutOfTime
from avgn_edge.media.prefetch import Prefetcher
from avgn_edge.report.record import RecordingClip

NAME = "avgn-edge-prefetch"
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


class FakePool:
    """Decoders that note each call of `frames`; `gate`, while it is not open, holds a call until it is interrupted."""

    def __init__(self, broken=()):
        self.calls, self.threads, self.closed = [], [], False
        self.begun, self.gate, self._inside = threading.Event(), threading.Event(), threading.Lock()
        self.gate.set()
        self._broken = set(broken)
        self.interrupt = threading.Event()

    def frames(self, times_s, deadline, likely_s=()):
        assert self._inside.acquire(blocking=False), "in `frames` twice at once"
        try:
            self.calls.append(list(times_s))
            self.threads.append(threading.current_thread().name)
            self.begun.set()
            while not self.gate.wait(0.001):
                if self.interrupt.is_set():
                    raise OutOfTime
            if self._broken & set(times_s):
                raise ClipError("fake", "a frame is broken", "mend it")
            return {time_s: np.full((2, 2, 3), time_s, dtype=np.uint8) for time_s in times_s}
        finally:
            self._inside.release()

    def work(self, times_s):
        assert not self._inside.locked()
        return len(times_s)

    def close(self):
        assert not self._inside.locked()
        self.closed = True


def numbers(frames):
    assert all((pixels == time_s).all() for time_s, pixels in frames.items())
    return list(frames)


def test_what_is_expected_is_decoded_before_it_is_asked_for_in_one_call_of_another_thread():
    fake = FakePool()
    with closing(Prefetcher(fake)) as video:
        video.start([5, 2, 9])
        wait_for_the_thread()
        assert fake.calls == [[5, 2, 9]]
        assert fake.threads == [NAME]
        assert numbers(video.frames([2, 9, 5], None)) == [2, 9, 5]
        assert len(fake.calls) == 1
        assert video.seconds > 0
        assert video.work([2, 3]) == 1


def test_frames_waits_for_what_is_under_way_and_decodes_the_rest():
    fake = FakePool()
    fake.gate.clear()
    with closing(Prefetcher(fake)) as video:
        video.start([1, 2])
        assert fake.begun.wait(PATIENCE_S)
        threading.Timer(0.05, fake.gate.set).start()
        assert numbers(video.frames([2, 3], None)) == [2, 3]
    assert fake.calls == [[1, 2], [3]]
    assert fake.threads == [NAME, threading.current_thread().name]


def test_a_later_call_replaces_what_was_not_begun():
    fake = FakePool()
    fake.gate.clear()
    with closing(Prefetcher(fake)) as video:
        video.start([1])
        assert fake.begun.wait(PATIENCE_S)
        video.start([2, 3])
        video.start([4, 1])
        fake.gate.set()
        wait_for_the_thread()
        assert fake.calls == [[1], [4]]
        video.start([])
        wait_for_the_thread()
        assert fake.calls == [[1], [4]]


def test_a_call_that_is_taken_back_before_it_is_begun_decodes_nothing():
    fake = FakePool()
    fake.gate.clear()
    with closing(Prefetcher(fake)) as video:
        video.start([1])
        assert fake.begun.wait(PATIENCE_S)
        video.start([2])
        video.start([])
        fake.gate.set()
        wait_for_the_thread()
    assert fake.calls == [[1]]


def test_an_error_surfaces_when_its_frame_is_asked_for_and_not_otherwise():
    fake = FakePool(broken=[3])
    with closing(Prefetcher(fake)) as video:
        video.start([1, 3])
        wait_for_the_thread()
        assert numbers(video.frames([1], None)) == [1]
        with pytest.raises(ClipError, match="a frame is broken"):
            video.frames([3], None)
        assert numbers(video.frames([1, 4], None)) == [1, 4]


def test_closing_in_the_middle_of_a_decode_interrupts_it():
    fake = FakePool()
    fake.gate.clear()
    video = Prefetcher(fake)
    video.start([1])
    assert fake.begun.wait(PATIENCE_S)
    video.close()
    assert running() == []
    assert fake.closed


def test_stopping_leaves_the_decoders_open_and_of_use_and_drops_what_was_decoded():
    fake = FakePool()
    fake.gate.clear()
    video = Prefetcher(fake)
    video.start([1])
    assert fake.begun.wait(PATIENCE_S)
    video.stop()
    video.stop()
    assert running() == []
    assert not fake.closed
    assert not fake.interrupt.is_set()
    fake.gate.set()
    video.start([2])
    wait_for_the_thread()
    video.stop()
    assert video.seconds == 0
    assert numbers(video.frames([2], None)) == [2]
    assert fake.calls == [[1], [2], [2]]


def test_a_deadline_is_kept_while_something_else_is_under_way():
    fake = FakePool()
    fake.gate.clear()
    with closing(Prefetcher(fake)) as video:
        video.start([1])
        assert fake.begun.wait(PATIENCE_S)
        with pytest.raises(OutOfTime):
            video.frames([1], time.perf_counter() + 0.01)
        fake.gate.set()
        assert numbers(video.frames([1], None)) == [1]
    assert fake.calls == [[1]]


ACTS = st.tuples(
    st.sampled_from(["start", "frames", "work", "pause"]), st.lists(st.integers(0, 6), max_size=4, unique=True)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, max_size=12), st.booleans())
def test_whatever_is_asked_in_whatever_order_frames_are_right_and_prefetched_once(acts, stop):
    fake = FakePool()
    asked, expected = set(), set()
    with closing(Prefetcher(fake)) as video:
        for act, times_s in acts:
            if act == "start":
                video.start(times_s)
                expected |= set(times_s)
            elif act == "frames":
                assert numbers(video.frames(times_s, None)) == times_s
                asked |= set(times_s)
            elif act == "work":
                video.work(times_s)
            else:
                wait_for_the_thread()
        if stop:
            video.stop()
    ahead = [time_s for call, thread in zip(fake.calls, fake.threads, strict=True) if thread == NAME for time_s in call]
    assert len(ahead) == len(set(ahead))
    assert asked <= {time_s for call in fake.calls for time_s in call} <= asked | expected


# ---- real files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movie():
    video = VideoSpec(times=[i / 10 for i in range(160)], gop=40)
    return make_media(video, SoundSpec(tone(440, 16, 44_100)))


@pytest.mark.parametrize("around", [lambda clip: clip, RecordingClip], ids=["a file", "a clip around a file"])
def test_sound_and_frames_side_by_side_are_those_of_one_after_the_other(movie, around):
    order = (7, 0, 15, 3, 11, 1, 5, 9)
    with open_clip(movie) as plain:
        windows, heard = plain.windows()
        frames = plain.frames(order)
    for source in (movie, io.BytesIO(movie)) * 3:
        with around(open_clip(source)) as clip:
            clip.prefetch(order)
            assert running() or clip.prefetched_s  # it is decoding, or was
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
        interrupt = clip._video.pool.interrupt
        interrupt.set()
        with pytest.raises(OutOfTime):
            clip.frames([15])
        interrupt.clear()
        assert number_of(clip.frames([15])[0]) == last
    with open_clip(movie) as clip:
        clip.prefetch(range(16))
        clip.stop_prefetch()
        assert number_of(clip.frames([15])[0]) == last


def test_closing_a_clip_ends_its_thread(movie):
    clip = open_clip(movie)
    clip.prefetch(range(16))
    clip.close()
    assert running() == []
    clip.prefetch(range(16))
    assert running() == []
    with pytest.raises(ClipError, match="closed"):
        clip.frames([1])


def test_a_clip_of_sound_alone_has_nothing_to_prefetch():
    with open_clip(make_media(None, SoundSpec(tone(440, 2, 44_100)))) as clip:
        clip.prefetch([0])
        assert running() == []
        assert clip.windows()[1].any()
