"""Frames that no other needs are not decoded on the way to one, and the one is the same to the bit as without."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import VideoSpec, make_media

from avgn_edge.media import open_clip
from avgn_edge.media.video import VideoTrack

TIMES = tuple(i / 10 for i in range(90))
X264 = {"preset": "medium", "crf": "30"}
MOVING = (96, 64)

CLIPS = {
    "h264 pyramid": VideoSpec(
        TIMES, gop=45, b_frames=7, size=MOVING, options=X264 | {"x264-params": "b-pyramid=normal:b-adapt=0:bframes=7"}
    ),
    "h264 open groups": VideoSpec(
        TIMES, b_frames=3, size=MOVING, options=X264 | {"x264-params": "open-gop=1:keyint=30:b-adapt=0:bframes=3"}
    ),
    "h264 that does not say how frames are reordered": VideoSpec(TIMES, gop=45, b_frames=4, size=MOVING, options=X264),
    "hevc": VideoSpec(TIMES, "libx265", size=MOVING, options={"x265-params": "log-level=none:keyint=45:bframes=4"}),
    "hevc in temporal layers": VideoSpec(
        TIMES, "libx265", size=MOVING, options={"x265-params": "log-level=none:keyint=45:temporal-layers=3:bframes=4"}
    ),
    "uneven": VideoSpec([t + 0.7 * (i > 40) + 0.04 * (i % 2) for i, t in enumerate(TIMES)], gop=60, size=MOVING),
}


@cache
def made(name: str) -> tuple[bytes, dict[int, np.ndarray]]:
    """A clip of noise that moves, and all of its frames by their time stamps, decoded one after the other."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 512, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("media_makers.numbered", lambda number, _: np.roll(noise, 3 * number, axis=1)[:, :96])
        data = make_media(CLIPS[name], None)
    with av.open(io.BytesIO(data)) as file:
        return data, {frame.pts: frame.to_ndarray() for frame in file.decode(video=0)}


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(CLIPS)), st.lists(st.integers(0, 89), min_size=1, max_size=5), st.booleans(), st.data())
def test_frames_are_the_same_to_the_bit_as_when_all_are_decoded(name, numbers, known, data):
    clip_bytes, frames = made(name)
    stamps = sorted(frames)
    with open_clip(clip_bytes) as clip:
        track = clip._video.pool.first
        for number in numbers:
            if known:  # as by a plan
                track.index.learned.setdefault(stamps[number], stamps[number] - track.index.delay)
            frame = track.frame_at(
                track._clock.seconds(stamps[number]) + (0 if known else 1e-3), alone=data.draw(st.booleans())
            )
            assert frame.pts == stamps[number]
            np.testing.assert_array_equal(frame.to_ndarray(), frames[frame.pts])
        assert clip.warnings == ("no audio track",)


@pytest.mark.parametrize(
    ("name", "dropped"), [("h264 pyramid", True), ("hevc", True), ("hevc in temporal layers", False)]
)
def test_frames_are_dropped_where_that_is_known_to_be_right(name, dropped):
    clip_bytes, frames = made(name)
    with open_clip(clip_bytes) as clip:
        track = clip._video.pool.first
        track.frame_at(4.0)
        on_the_way = sum(stamp <= track._clock.ticks(4.0) for stamp in frames)
        assert (track.decoded < 0.8 * on_the_way) is dropped


def test_a_decoder_that_drops_too_much_is_found_out(monkeypatch):
    """As if all frames but key frames could be dropped: what is then missing is decoded after all."""
    clip_bytes, frames = made("h264 pyramid")
    drop = VideoTrack._drop

    def drop_more(self, drops, tick):
        drop(self, drops, tick)
        if self._dropping:
            self._stream.codec_context.skip_frame = "NONKEY"

    monkeypatch.setattr(VideoTrack, "_drop", drop_more)
    monkeypatch.setattr(VideoTrack, "_needed_from", lambda _, wanted: wanted + 1)
    with open_clip(clip_bytes) as clip:
        track = clip._video.pool.first
        frame = track.frame_at(4.0)
        np.testing.assert_array_equal(frame.to_ndarray(), frames[track._clock.ticks(4.0)])
        assert not track._may_drop


def test_a_key_frame_alone_takes_one_frame_of_decoding():
    with open_clip(made("h264 open groups")[0], count=3, sampling="cheap") as clip:
        clip.frames([1])
        assert clip.decoded == 1
