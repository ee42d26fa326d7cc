"""Files of several recordings, one after the other: a warning says that not all of it is looked at."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from media_makers import SoundSpec, VideoSpec, make_media, numbered, tone

from avgn_edge.media import open_clip


def ogg(seconds: float) -> bytes:
    return make_media(None, SoundSpec(tone(440, seconds, 48_000), 48_000, "libopus", "flt"), "ogg")


def stream(seconds: int, container: str = "mpegts") -> bytes:
    """MPEG-2 at 25 frames a second with B-frames, and MP2."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        video = output.add_stream("mpeg2video", rate=25, options={"bf": "2"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("mp2", rate=48_000, layout="mono")
        for number in range(25 * seconds):
            picture = av.VideoFrame.from_ndarray(numbered(number, (64, 48)), format="rgb24")
            output.mux(video.encode(picture.reformat(format="yuv420p")))
            samples = (10_000 * tone(440, 0.04, 48_000)[:, 0]).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, number * 1_920, Fraction(1, 48_000)
            output.mux(sound.encode(heard))
        for track in (video, sound):
            output.mux(track.encode(None))
    return buffer.getvalue()


JOINED = {
    "two of the same in a chain": (ogg(3), ogg(3)),
    "three in a chain": (ogg(2), ogg(4), ogg(1)),
    "streams whose times begin again": (stream(8), stream(6)),
    "the shorter first": (stream(3), stream(9)),
    "program streams": (stream(5, "mpeg"), stream(5, "mpeg")),
    "sound alone": tuple(
        make_media(None, SoundSpec(tone(440, 6, 48_000), 48_000, "mp2", "s16"), "mpegts") for _ in range(2)
    ),
}


@pytest.mark.parametrize("name", JOINED)
def test_what_begins_again_is_told(name, tmp_path):
    parts = JOINED[name]
    path = tmp_path / "joined"
    path.write_bytes(b"".join(parts))
    told = []
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with open_clip(source) as clip:
            told += [warning for warning in clip.warnings if "another recording begins" in warning]
            clip.windows()
            if clip.has_video:
                assert len(clip.frames(range(16))) == 16
            assert f"no more than {clip.duration_s:.1f} s" in told[-1]
    assert len(told) == 3
    share = 100 * len(parts[0]) / sum(map(len, parts))
    assert abs(int(told[0].split(" % ")[0].split()[-1]) - share) <= 15  # few packets of these small files have times


@pytest.mark.parametrize("name", JOINED)
def test_nothing_is_told_of_one(name, tmp_path):
    for part in JOINED[name]:
        with open_clip(part) as clip:
            assert not [warning for warning in clip.warnings if "recording" in warning]


def test_two_streams_of_one_link_are_no_chain():
    video = VideoSpec(times=[0, 1, 2], codec="libvpx", size=(64, 48), b_frames=0)
    sound = SoundSpec(np.zeros((48_000, 1), np.float32), 48_000, "libopus", "flt")
    with open_clip(make_media(video, sound, "ogg")) as clip:
        assert clip.has_video
        assert clip.warnings == ()
