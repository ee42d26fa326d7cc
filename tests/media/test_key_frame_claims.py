"""Containers that call frames key frames which are none: what is shown is what decoding from the start shows."""

from __future__ import annotations

import io
from functools import cache

import av
import numpy as np
import pytest
from media_makers import VideoSpec, make_media

from avgn_edge.media import open_clip

SIZE = (128, 96)
COUNT = 100

CASES = {
    "MPEG-4, MP4": ("mpeg4", "mp4", 12, {}),
    "MPEG-4, one key frame, MP4": ("mpeg4", "mp4", 1000, {}),
    "MPEG-4 with B-frames, MP4": ("mpeg4", "mp4", 12, {"bf": "2"}),
    "MPEG-4, AVI": ("mpeg4", "avi", 30, {}),
    "MPEG-4, Matroska": ("mpeg4", "matroska", 30, {}),
    "H.263, MOV": ("h263", "mov", 12, {}),
    "H.263, one key frame, MOV": ("h263", "mov", 1000, {}),
    "MS-MPEG4, AVI": ("msmpeg4", "avi", 25, {}),
    "MPEG-2, Matroska": ("mpeg2video", "matroska", 12, {"bf": "2"}),
    "VP8, Matroska": ("libvpx", "matroska", 30, {"deadline": "realtime", "cpu-used": "16"}),
    "VP9, MP4": ("libvpx-vp9", "mp4", 30, {"deadline": "realtime", "cpu-used": "8"}),
    "VP9, one key frame, Matroska": ("libvpx-vp9", "matroska", 1000, {"deadline": "realtime", "cpu-used": "8"}),
    "H.264, MP4": ("libx264", "mp4", 12, {"preset": "ultrafast", "bf": "2"}),
    "H.264, AVI": ("libx264", "avi", 12, {"preset": "ultrafast", "bf": "2"}),
    "H.264, one key frame, MP4": ("libx264", "mp4", 1000, {"preset": "ultrafast"}),
    "HEVC, MP4": ("libx265", "mp4", 12, {"preset": "ultrafast", "x265-params": "log-level=none:keyint=12"}),
}


@cache
def made(name: str) -> tuple[bytes, list[np.ndarray]]:
    """A clip every packet of which is called a key frame, and its frames in the order of time."""
    codec, container, gop, options = CASES[name]
    return encoded(codec, container, gop, options, lie=True)


def encoded(
    codec: str, container: str, gop: int, options: dict[str, str], *, lie: bool
) -> tuple[bytes, list[np.ndarray]]:
    """A clip of noise that moves, and its frames in the order of time."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *SIZE, "yuv420p", gop
        for number in (*range(COUNT), None):
            pixels = np.ascontiguousarray(np.roll(noise, 2 * (number or 0), axis=1)[:, : SIZE[0]])
            frame = None if number is None else av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for packet in stream.encode(frame):
                packet.is_keyframe = packet.is_keyframe or lie
                output.mux(packet)
    with av.open(io.BytesIO(buffer.getvalue())) as file:
        return buffer.getvalue(), [frame.to_ndarray() for frame in file.decode(video=0)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sampling", ["centre", "cheap"])
def test_what_is_shown_is_what_decoding_from_the_start_shows(name, sampling):
    data, frames = made(name)
    assert len(frames) == COUNT
    video = VideoSpec(times=[i / 10 for i in range(COUNT)])
    with open_clip(data, sampling=sampling) as clip:
        clip.frames(range(16))
        decoded_at_once = clip.decoded
        for index in (0, 1, 8, 15, 3):
            time_s = clip.moments[index].time_s
            frame = clip._video.pool.first.frame_at(time_s)
            np.testing.assert_array_equal(frame.to_ndarray(), frames[video.shown_at(time_s + 1e-6)])
        assert clip.warnings == ("no audio track",)
    assert decoded_at_once <= 3 * COUNT


def test_frames_that_all_depend_on_the_first_are_not_shared_out(monkeypatch):
    monkeypatch.setattr("avgn_edge.media.decoder_pool.WORTH_A_DECODER", 0)
    with open_clip(made("MPEG-4, one key frame, MP4")[0], decoders=4) as clip:
        clip.frames(range(16))
        assert clip.decoded <= 1.2 * COUNT


@pytest.mark.parametrize("container", ["mp4", "mpegts"])
def test_gradual_refresh_is_decoded_from_where_it_is_sound(container):
    """Such H.264 has one intra picture, at its start; FFmpeg's decoder calls pictures sound before they are."""
    options = {"preset": "ultrafast", "x264-params": "intra-refresh=1:keyint=20:bframes=0"}
    data, frames = encoded("libx264", container, 1000, options, lie=False)
    with open_clip(data) as clip:
        for index in (14, 4, 5):
            time_s = clip.moments[index].time_s
            frame = clip._video.pool.first.frame_at(time_s)
            np.testing.assert_array_equal(frame.to_ndarray(), frames[int(time_s * 10 + 1e-6)])


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_nothing_more_is_decoded_of_a_file_that_tells_the_truth(codec):
    times = [i / 10 for i in range(COUNT)]
    for gop in (1, 10):
        video = VideoSpec(times=times, codec=codec, gop=gop, b_frames=0, size=(64, 48))
        with open_clip(make_media(video)) as clip:
            for index in (12, 3, 15):
                clip.frames([index])
            # One group of pictures at most for each, and the frame after.
            assert clip.decoded <= 3 * (gop + 1)
            assert clip._video.pool.first.index.trusted
