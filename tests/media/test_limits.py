"""Reading against a deadline: what there is time for is right, what there is none for is left out and said."""

from __future__ import annotations

import io
import itertools
import math
from unittest import mock

import numpy as np
import pytest
import soundfile
from media_makers import SoundSpec, VideoSpec, make_media, number_of, tone

from avgn_edge.media import GLANCE_ORDER, ArrayClip, frame_index, open_clip
from avgn_edge.media.clip import OutOfTime, SoundLimit
from avgn_edge.media.frame_index import FRAMES_A_FRAME
from avgn_edge.media.windows import WindowBuffer

RATE = 44_100


def limit(deadline: float, each_s: float = 0.0) -> SoundLimit:
    return SoundLimit(GLANCE_ORDER, deadline, each_s, lambda _: 0.0)


def ticking(step: float = 1.0):
    """A clock that every question moves on."""
    ticks = itertools.count()
    return mock.patch("time.perf_counter", side_effect=lambda: step * next(ticks))


def read(buffer: WindowBuffer, window_s: float) -> set[int]:
    """Read what is wanted, a window in `window_s` seconds, without reading on between them; -> the windows heard."""
    now, position = [0.0], 0
    with mock.patch("time.perf_counter", side_effect=lambda: now[0]):
        while buffer.go_on(position) and (start := buffer.next_needed(position)) is not None:
            position = start + 15_600
            buffer.write(start, np.full(15_600, 0.5, dtype=np.float32))
            now[0] += window_s
    return set(np.flatnonzero(buffer.finish()[1]))


def clips():
    sound = tone(440, 40, RATE, 2)
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, RATE, format="WAV")
    video = VideoSpec(times=[i / 5 for i in range(200)])
    yield "arrays", lambda: ArrayClip(None, sound, RATE)
    yield "wav", lambda: open_clip(buffer.getvalue())
    for container, codec, fmt in (("mp4", "aac", "fltp"), ("matroska", "flac", "s16"), ("mpegts", "mp2", "s16")):
        made = make_media(video, SoundSpec(sound, RATE, codec, fmt), container)
        yield container, lambda made=made: open_clip(made)


MADE = dict(clips())


@pytest.fixture(params=MADE)
def opened(request):
    return MADE[request.param]


def test_with_time_enough_the_sound_is_that_without_a_limit(opened):
    with opened() as free, opened() as limited:
        whole, heard = free.windows()
        samples, also_heard = limited.windows(limit(math.inf))
        np.testing.assert_array_equal(samples, whole)
        np.testing.assert_array_equal(also_heard, heard)
        assert limited.warnings == free.warnings


def test_when_time_is_up_the_rest_is_silence_and_a_warning(opened):
    with opened() as free, opened() as limited:
        whole, _ = free.windows()
        with ticking():
            samples, heard = limited.windows(limit(-1.0))
        assert 1 <= heard.sum() <= 3  # the first, and what a reader had under way
        assert not samples[~heard].any()
        np.testing.assert_allclose(samples[heard], whole[heard], atol=0.02)
        assert f"out of time: the sound of {16 - heard.sum()} of 16 moments was not read" in limited.warnings
        assert limited.windows()[1].sum() == heard.sum()  # and stays so


def test_the_sound_read_is_what_time_reaches_for_and_spread_over_the_clip():
    for count in range(1, 17):
        each_s = 10.0 / count - 1e-9
        buffer = WindowBuffer(range(16), limit=limit(10.0, each_s))
        assert read(buffer, each_s) == set(GLANCE_ORDER[:count])
        assert set(buffer.unread) == set(GLANCE_ORDER[count:])


def test_what_follows_the_reading_has_its_time():
    buffer = WindowBuffer(range(16), limit=SoundLimit(GLANCE_ORDER, 10.0, 1.0, lambda moments: 1.0 * moments))
    assert len(read(buffer, 1.0)) == 5


def test_silence_is_read_on_from_until_something_is_heard():
    sound = tone(440, 40, RATE)
    sound[: 25 * RATE] = 0
    with ArrayClip(None, sound, RATE) as clip, ticking():
        _, heard = clip.windows(limit(-1.0))
        assert heard.sum() == 1
        assert clip.moments[int(heard.argmax())].time_s > 24


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_frame_given_up_can_be_asked_for_again(container):
    video = VideoSpec(times=[i / 10 for i in range(200)], gop=200)
    with open_clip(make_media(video, None, container)) as clip:
        with ticking(0.001), pytest.raises(OutOfTime):
            clip.frames([12], deadline=0.05)
        assert number_of(clip.frames([12])[0]) == video.shown_at(clip.moments[12].time_s)
        assert number_of(clip.frames([3])[0]) == video.shown_at(clip.moments[3].time_s)
        with ticking(0.001):
            assert number_of(clip.frames([3], deadline=1e9)[0]) == video.shown_at(clip.moments[3].time_s)


def test_a_deadline_in_the_past_is_noticed_before_anything_is_decoded():
    with open_clip(make_media(VideoSpec(), None)) as clip:
        with pytest.raises(OutOfTime):
            clip.frames([0], deadline=-math.inf)
        assert clip.conversions == 0
    with ArrayClip(np.zeros((3, 8, 8, 3), dtype=np.uint8)) as clip, pytest.raises(OutOfTime):
        clip.frames([0], deadline=-math.inf)


@pytest.fixture
def frames_alone(monkeypatch):
    """Work that counts frames: a thousand pixels each, nothing for bytes and packets."""
    monkeypatch.setattr(frame_index, "BYTES_A_KILOPIXEL", 10**12)
    monkeypatch.setattr(frame_index, "KILOPIXELS_A_PACKET", 0)


@pytest.mark.usefixtures("frames_alone")
@pytest.mark.parametrize("container", ["mp4", "matroska", "avi"])
def test_work_foretells_how_much_is_decoded(container):
    codec = "mpeg4" if container == "avi" else "libx264"
    video = VideoSpec(times=[i / 10 for i in range(200)], gop=50, codec=codec, b_frames=0)
    with open_clip(make_media(video, None, container), count=16) as clip:
        pixels = 128 * 96 // 1_000
        foretold, decoded = [], []
        for moment in GLANCE_ORDER:
            before = clip.decoded
            foretold.append(clip.work([moment]) / pixels - FRAMES_A_FRAME)
            clip.frames([moment])
            decoded.append(clip.decoded - before)
        assert np.corrcoef(foretold, decoded)[0, 1] > 0.98
        assert np.abs(np.subtract(foretold, decoded)).max() <= 3


@pytest.mark.usefixtures("frames_alone")
def test_work_of_several_frames_counts_what_they_share_once():
    video = VideoSpec(times=[i / 10 for i in range(200)], gop=200, b_frames=0)
    with open_clip(make_media(video, None)) as clip:
        alone = [clip.work([moment]) for moment in range(16)]
        assert alone == sorted(alone)
        pixels = 128 * 96 // 1_000
        assert abs(clip.work(range(16)) - (clip.work([15]) + 15 * FRAMES_A_FRAME * pixels)) <= 16 * pixels
        assert clip.work([]) == 0
        clip.frames([15])
        assert clip.work([15]) < alone[15]


def test_work_grows_with_the_bytes_of_what_is_decoded(monkeypatch):
    plain = make_media(VideoSpec(), None)
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    monkeypatch.setattr("media_makers.numbered", lambda number, _: np.roll(noise, number, axis=0))
    busy = make_media(VideoSpec(), None)
    with open_clip(plain) as little, open_clip(busy) as much:
        assert much.work([4]) - little.work([4]) > 20_000 / frame_index.BYTES_A_KILOPIXEL
