"""H.264 with B-frames in AVI, which stores no time at which a frame is shown."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from media_makers import VideoSpec, number_of, numbered

from avgn_edge.media import open_clip
from avgn_edge.media.live.connection import Connection, address_of

VIDEO = VideoSpec(times=[i / 10 for i in range(120)])
TIMES = VIDEO.times
X264 = {"preset": "medium", "crf": "18"}
CLIPS = {
    "B-pyramid": X264 | {"x264-params": "b-pyramid=normal:b-adapt=0:bframes=7:keyint=30:scenecut=0"},
    "open groups": X264 | {"x264-params": "open-gop=1:keyint=20:b-adapt=0:bframes=3"},
    "one group": X264 | {"x264-params": "keyint=1000:b-adapt=0:bframes=3"},
    "no B-frames": X264 | {"x264-params": "bframes=0:keyint=30"},
}


def made(name: str) -> bytes:
    """A clip of numbered frames, ten a second: AVI counts frames."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as output:
        stream = output.add_stream("libx264", rate=10, options=CLIPS[name])
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(len(TIMES)):
            frame = av.VideoFrame.from_ndarray(numbered(number, (64, 48)), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("sampling", ["centre", "cheap"])
@pytest.mark.parametrize("name", CLIPS)
def test_the_frame_shown_at_each_moment_is_found(name, sampling):
    with open_clip(made(name), sampling=sampling) as clip:
        wanted = [VIDEO.shown_at(moment.time_s + 1e-9) for moment in clip.moments]
        assert [number_of(pixels) for pixels in clip.frames(range(16))] == wanted
        for index in (12, 2, 15, 0):
            assert number_of(clip.frames([index])[0]) == wanted[index]
        assert clip.warnings == ("no audio track",)


def test_of_closed_groups_no_more_than_is_needed_is_decoded():
    with open_clip(made("B-pyramid")) as clip:
        clip.frames([15])
        assert clip.decoded <= 30 + 8


def test_a_file_that_is_watched_has_its_frames_in_order(tmp_path):
    path = tmp_path / "watched.avi"
    path.write_bytes(made("B-pyramid"))
    connection = Connection(address_of(str(path)))
    try:
        times = [piece.time_s for piece in connection.pieces()]
    finally:
        connection.close()
    np.testing.assert_allclose(times, TIMES)
