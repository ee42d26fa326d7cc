"""Frames asked for at once are decoded by several decoders, and are those of one."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from media_makers import VideoSpec, make_media, number_of

from avgn_edge._base.errors import ClipError
from avgn_edge.media import decoder_pool, open_clip
from avgn_edge.media.clip import OutOfTime
from avgn_edge.media.video import VideoTrack

MANY = VideoSpec([i / 10 for i in range(300)], gop=20)
DATA = {"mp4": make_media(MANY), "matroska": make_media(MANY, None, "matroska")}


@pytest.fixture(autouse=True)
def all_is_worth_it(monkeypatch):
    monkeypatch.setattr(decoder_pool, "WORTH_A_DECODER", 0)


@pytest.fixture
def threads(monkeypatch):
    """The threads in which frames were decoded."""
    seen = set()
    frame_at = VideoTrack.frame_at
    monkeypatch.setattr(
        VideoTrack, "frame_at", lambda *args, **kw: seen.add(threading.current_thread()) or frame_at(*args, **kw)
    )
    return seen


@pytest.fixture
def together(threads, monkeypatch):
    """Two threads decode or none: each waits for the other before its first frame."""
    both = threading.Barrier(2)
    frame_at = VideoTrack.frame_at

    def waited_for(*args, **kw):
        if threading.current_thread() not in threads:
            threads.add(threading.current_thread())
            both.wait(20)
        return frame_at(*args, **kw)

    monkeypatch.setattr(VideoTrack, "frame_at", waited_for)
    return threads


@pytest.fixture
def broken_end(monkeypatch):
    """No frame after second 15 decodes."""
    real = VideoTrack.frame_at

    def broken(self, time_s, *args, **kw):
        if time_s > 15:
            raise IndexError("broken")
        return real(self, time_s, *args, **kw)

    monkeypatch.setattr(VideoTrack, "frame_at", broken)


class Slow(io.BytesIO):
    """Lets the other threads have their turn."""

    def read(self, size=-1):
        threading.Event().wait(0.0005)
        return super().read(size)


@pytest.mark.parametrize("source", [bytes, Slow, "path"])
@pytest.mark.parametrize("sampling", ["cheap", "centre"])
@pytest.mark.parametrize("container", DATA)
def test_several_decoders_give_what_one_gives(container, sampling, source, tmp_path):
    path = tmp_path / "clip"
    path.write_bytes(DATA[container])
    given = path if source == "path" else source(DATA[container])
    with (
        open_clip(given, sampling=sampling, decoders=3) as clip,
        open_clip(DATA[container], sampling=sampling, decoders=1) as one,
    ):
        order = [7, 0, 15, 3, 11, 1, 5, 9, 13]
        several, alone = clip.frames(order), one.frames(order)
        np.testing.assert_array_equal(several, alone)
        assert [number_of(pixels) for pixels in several] == [MANY.shown_at(clip.moments[i].time_s) for i in order]
        assert clip.conversions == one.conversions == len(order)
        for index in (4, 15, 0, 8):
            assert number_of(clip.frames([index])[0]) == MANY.shown_at(clip.moments[index].time_s)
        assert clip.warnings == one.warnings
        assert len(clip._video.pool._decoders) <= 3


def test_decoders_are_as_many_as_asked_for_and_opened_when_needed(threads):
    with open_clip(Slow(DATA["mp4"]), decoders=2) as clip:
        clip.frames([3])
        assert len(clip._video.pool._decoders) == 1
        clip.frames(range(16))
        assert len(clip._video.pool._decoders) == 2
        assert len(threads) == 2
    with open_clip(Slow(DATA["mp4"]), decoders=1) as clip:
        clip.frames(range(16))
        assert len(clip._video.pool._decoders) == 1


def test_little_work_and_a_deadline_are_for_one_decoder(monkeypatch, threads):
    with open_clip(DATA["mp4"], decoders=2) as clip:
        clip.frames(range(16), deadline=float("inf"))
        assert threads == {threading.current_thread()}
    monkeypatch.setattr(decoder_pool, "WORTH_A_DECODER", 10**9)
    with open_clip(DATA["mp4"], decoders=2) as clip:
        clip.frames(range(16))
        assert threads == {threading.current_thread()}


def test_a_decoder_that_cannot_be_opened_is_done_without(monkeypatch):
    with open_clip(DATA["mp4"], decoders=3) as clip:

        def none_left():
            raise OSError("too many open files")

        monkeypatch.setattr(clip._video.pool, "_another", none_left)
        numbers = [number_of(pixels) for pixels in clip.frames(range(16))]
        assert numbers == [MANY.shown_at(moment.time_s) for moment in clip.moments]


def test_an_error_in_any_thread_is_the_caller_s(broken_end):
    with open_clip(DATA["mp4"], decoders=2) as clip, pytest.raises(ClipError, match="broken"):
        clip.frames(range(16))


def test_all_are_interrupted():
    with open_clip(DATA["mp4"], decoders=3) as clip:
        clip._video.pool.interrupt.set()
        with pytest.raises(OutOfTime):
            clip.frames(range(16))
        clip._video.pool.interrupt.clear()
        assert len(clip.frames(range(16))) == 16
        clip._video.pool.interrupt.set()
        with pytest.raises(OutOfTime):
            clip.frames(list(range(0, 16, 2)))


def test_damage_is_counted_wherever_it_is_met():
    damaged = bytearray(DATA["mp4"])
    start = damaged.index(b"mdat") + 4
    length = len(damaged) - start
    for share in (0.3, 0.6):
        for position in range(start + int(share * length), start + int((share + 0.05) * length)):
            damaged[position] = 0xFF
    with open_clip(bytes(damaged), decoders=2) as two, open_clip(bytes(damaged), decoders=1) as one:
        two.frames(range(16))
        one.frames(range(16))
        assert any("damaged" in warning for warning in one.warnings)
        assert any("damaged" in warning for warning in two.warnings)


def test_large_frames_are_for_one_decoder(monkeypatch, threads):
    monkeypatch.setattr(decoder_pool, "LARGEST_SHARED", MANY.size[0] * MANY.size[1] // 1_000 - 1)
    with open_clip(Slow(DATA["mp4"]), decoders=2) as clip:
        clip.frames(range(16))
        assert len(clip._video.pool._decoders) == 1
    assert len(threads) == 1


def test_the_longest_way_is_begun_first(monkeypatch):
    begun = []
    share = decoder_pool.DecoderPool._share

    def noted(self, groups, count, found):
        begun.extend(self.first.work([shot.time_s for shot in group]) for group in groups)
        share(self, groups, count, found)

    monkeypatch.setattr(decoder_pool.DecoderPool, "_share", noted)
    with open_clip(DATA["mp4"], decoders=2) as clip:
        clip.frames([1, 4, 5, 9, 14])
    assert len(set(begun)) > 1
    assert begun == sorted(begun, reverse=True)


# ---- frames that are likely to be asked for next


def test_what_is_likely_next_is_decoded_beside_what_is_asked_for_and_not_converted(together):
    with open_clip(DATA["mp4"], decoders=2) as clip:
        clip.hint([9, 13])
        clip.frames([3])
        assert (len(together), clip.conversions) == (2, 1)
        kept, decoded = set(clip._video.pool._kept), clip.decoded
        assert kept == {clip.moments[9].time_s}  # as many as there are decoders to spare
        assert number_of(clip.frames([9])[0]) == MANY.shown_at(clip.moments[9].time_s)
        assert (clip.decoded, clip.conversions) == (decoded, 2)
        clip.frames([5])  # what is foreseen counts for one call
        assert not clip._video.pool._kept


@pytest.mark.parametrize(("decoders", "deadline"), [(1, None), (2, float("inf"))])
def test_nothing_more_is_decoded_by_one_decoder(decoders, deadline):
    with open_clip(DATA["mp4"], decoders=decoders) as clip, open_clip(DATA["mp4"], decoders=1) as plain:
        clip.hint([9, 13])
        clip.frames([3], deadline)
        plain.frames([3])
        assert clip.decoded == plain.decoded
        assert not clip._video.pool._kept


def test_what_is_likely_next_may_be_anything_that_may_be_asked_for():
    with open_clip(DATA["mp4"], decoders=4) as clip:
        clip.hint([3, 3, 4, 15, 0])  # asked for already, the same group of pictures, and others
        clip.frames([3])
        assert number_of(clip.frames([3])[0]) == MANY.shown_at(clip.moments[3].time_s)
        clip.hint(range(16))
        numbers = [number_of(pixels) for pixels in clip.frames(range(16))]
        assert numbers == [MANY.shown_at(moment.time_s) for moment in clip.moments]


def test_a_likely_frame_that_does_not_decode_is_whoever_asks_for_its_error(broken_end):
    with open_clip(DATA["mp4"], decoders=2) as clip:
        clip.hint([12])
        clip.frames([3])
        with pytest.raises(ClipError, match="broken"):
            clip.frames([12])
