from __future__ import annotations

import io
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from media_makers import SoundSpec, VideoSpec, make_media, number_of, tone

from avgn_edge._base.errors import ClipError
from avgn_edge.media import open_clip

GOOD = make_media(VideoSpec(), SoundSpec(tone(440, 4, 44_100)))
MOOV_FIRST = make_media(VideoSpec(), SoundSpec(tone(440, 4, 44_100)), movflags="faststart")
MKV = make_media(VideoSpec(), SoundSpec(tone(440, 4, 48_000), 48_000, "libopus", "flt"), "matroska")


def subtitles_only() -> bytes:
    return b"1\n00:00:00,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nWorld\n"


def playlist() -> bytes:
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"


BAD = {
    "empty": b"",
    "one byte": b"\0",
    "text": b"this is not a video\n" * 50,
    "zeros": bytes(100_000),
    "noise": random.Random(0).randbytes(200_000),
    "moov missing": GOOD[: len(GOOD) // 2],
    "header only": GOOD[:32],
    "subtitles": subtitles_only(),
    "playlist": playlist(),
    "local playlist": b"#EXTM3U\n#EXTINF:5,\n/etc/hostname\n#EXT-X-ENDLIST\n",
    "concat script": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "wav header": b"RIFF\xff\xff\xff\xffWAVEfmt ",
    "mp3 sync words": b"\xff\xfb\x90\x00" * 3,
    "png header": b"\x89PNG\r\n\x1a\n" + bytes(30),
}


def consume(source):
    with open_clip(source) as clip:
        windows, heard = clip.windows()
        assert np.isfinite(windows).all()
        frames = clip.frames(range(16)) if clip.has_video else []
        return frames, heard, clip.warnings


def assert_one_line(error):
    assert "\n" not in str(error)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["path", "bytes", "file"])
def test_what_is_not_a_clip_is_a_clip_error_of_one_line(name, kind, tmp_path, capfd):
    path = tmp_path / "clip.mp4"
    path.write_bytes(BAD[name])
    source = {"path": path, "bytes": BAD[name], "file": io.BytesIO(BAD[name])}[kind]
    with pytest.raises(ClipError) as caught:
        consume(source)
    text = str(caught.value)
    assert "\n" not in text
    assert text.count(": ") >= 2
    assert len(text) < 500
    if kind == "path":
        assert text.startswith(str(path))
    assert capfd.readouterr() == ("", "")


def test_paths_that_are_no_files(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path, tmp_path / "missing.mp4", fifo, "", "a\0b.mp4", "x" * 5000, "/dev/zero", "rtsp://x/y"):
        with pytest.raises(ClipError) as caught:
            open_clip(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ClipError, match="its name is empty"):
        open_clip("")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(ClipError, match=r"[Pp]ermission"):
        open_clip(path)


class Broken(io.BytesIO):
    def __init__(self, data, after):
        super().__init__(data)
        self.left = after

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("the cable\nfell out")
        return super().read(size)


@pytest.mark.parametrize("after", range(8))
def test_a_file_object_that_fails_is_a_clip_error_or_a_warning(after):
    try:
        consume(Broken(GOOD, after))
    except ClipError as error:
        assert_one_line(error)


@pytest.mark.parametrize("source", [None, 3, object(), io.StringIO("text")])
def test_things_that_are_no_source(source):
    with pytest.raises(ClipError):
        open_clip(source)


@pytest.mark.parametrize("data", [MOOV_FIRST, MKV], ids=["mp4", "mkv"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_file_cut_short_answers_with_a_warning_or_fails(data, share):
    try:
        frames, _, warnings = consume(data[: int(len(data) * share)])
    except ClipError:
        return
    assert len(frames) == 16
    assert warnings or share > 0.5  # less than that is not missed at the moments


def test_the_last_frame_stands_for_what_was_cut_off():
    video = VideoSpec(times=[i / 10 for i in range(300)])
    data = make_media(video, movflags="faststart")
    with open_clip(data[: int(len(data) * 0.7)]) as clip:
        numbers = [number_of(pixels) for pixels in clip.frames(range(16))]
        assert numbers[:6] == [video.shown_at(moment.time_s) for moment in clip.moments[:6]]
        assert 100 < numbers[15] < 290
        assert any("the video ends" in warning or "damaged" in warning for warning in clip.warnings)
        assert number_of(clip.frames([15])[0]) == numbers[15]


@pytest.mark.parametrize("data", [MOOV_FIRST, MKV], ids=["mp4", "mkv"])
@pytest.mark.parametrize("seed", range(12))
def test_damage_inside_never_raises_anything_else(data, seed, capfd):
    rng = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 10, 200])):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    try:
        frames, _, _ = consume(bytes(damaged))
        assert all(frame.shape == (224, 224, 3) for frame in frames)
    except ClipError as error:
        assert_one_line(error)
    assert capfd.readouterr().err == ""


def test_damaged_packets_are_skipped_and_counted():
    damaged = bytearray(MOOV_FIRST)
    start = damaged.index(b"mdat") + 4
    for position in range(start + (len(damaged) - start) // 2, start + (len(damaged) - start) * 6 // 10):
        damaged[position] = 0xFF
    _, _, warnings = consume(bytes(damaged))
    assert any("damaged" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("container", "why"),
    [("avi", "its frames of 128×96 are larger than is sane"), ("mp4", "its frames too large")],
)
def test_frames_that_are_too_large_are_refused_for_that(container, why, monkeypatch):
    """The limit is lowered in place of making pictures of 67 megapixels."""
    data = make_media(VideoSpec(times=[0, 0.1], codec="mpeg4", size=(128, 96), b_frames=0), None, container)
    for module in ("opening", "source"):
        monkeypatch.setattr(f"avgn_edge.media.{module}.MAX_PIXELS", 128 * 96 - 1)
    with pytest.raises(ClipError, match=why):
        open_clip(data)


def test_importing_media_imports_no_heavy_package():
    code = (
        "import sys, avgn_edge.media as m; m.open_clip; m.ArrayClip; m.log_mel;"
        "print(sorted({'torch','onnx','onnxruntime','scipy','PIL','soundfile','librosa'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert output.stdout.strip() == "[]"
