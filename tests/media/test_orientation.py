"""Pictures are turned and mirrored as their container or EXIF says, and side data that PyAV cannot hold do no harm."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import avgn_edge
from avgn_edge.media import open_clip
from avgn_edge.media.frames import Orientation

SIZE = (64, 48)
# What EXIF's orientations do to a stored picture.
EXIF = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
    8: lambda p: p.swapaxes(0, 1)[::-1],
}


def corners() -> np.ndarray:
    """A picture that differs however it is turned or mirrored: its quarters have a colour each, uint8 [H, W, 3]."""
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    for number, (down, across) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        picture[down * 24 : down * 24 + 24, across * 32 : across * 32 + 32] = 60 * number + 20
    return picture


def quarters(pixels: np.ndarray) -> list[int]:
    """The number of the colour in each quarter."""
    height, width = pixels.shape[0], pixels.shape[1]
    found = [pixels[y * height // 4, x * width // 4].astype(int).mean() for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))]
    return [round((value - 20) / 60) for value in found]


def encoded(codec: str, pixels: np.ndarray) -> bytes:
    context = av.CodecContext.create(codec, "w")
    context.width, context.height = pixels.shape[1], pixels.shape[0]
    context.pix_fmt, context.time_base = {"png": "rgb24", "mjpeg": "yuvj420p"}[codec], Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=context.pix_fmt)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def exif(orientation: int) -> bytes:
    """A TIFF header whose directory says the orientation, and who made the camera."""
    entries = struct.pack("<HHI4s", 0x010F, 2, 4, b"cam\0") + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)


def jpeg(orientation: int) -> bytes:
    body = b"Exif\0\0" + exif(orientation)
    data = encoded("mjpeg", corners())
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png(name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    data = encoded("png", corners())
    crc = struct.pack(">I", zlib.crc32(name + body))
    return data[:33] + struct.pack(">I", len(body)) + name + body + crc + data[33:]


def profile() -> bytes:
    """An ICC profile as short as FFmpeg takes, under a name."""
    body = bytearray(132)
    body[:4] = struct.pack(">I", len(body))
    body[36:40] = b"acsp"
    return b"a name\0\0" + zlib.compress(bytes(body))


def movie(container: str, degrees: int, *, across: bool, down: bool) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.set_display_rotation(degrees, hflip=across, vflip=down)
        for _ in range(4):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize(("across", "down"), [(False, False), (True, False), (False, True), (True, True)])
def test_turned_and_mirrored_videos_are_shown_as_their_matrix_says(container, degrees, across, down):
    expected = np.rot90(corners(), degrees // 90)
    expected = expected[:: -1 if down else 1, :: -1 if across else 1]
    with open_clip(movie(container, degrees, across=across, down=down)) as clip:
        assert clip.display_size == (expected.shape[1], expected.shape[0])
        for pixels in (*clip.frames([0, 12]), clip.picture(5)):
            assert quarters(pixels) == quarters(expected)


@pytest.mark.parametrize("orientation", EXIF)
def test_pictures_with_exif_are_read_and_turned(orientation):
    for data in (jpeg(orientation), png(b"eXIf", exif(orientation))):
        with av.open(io.BytesIO(data)) as file:
            known = orientation in (2, 4, 5, 7) or next(file.decode(video=0)).rotation != 0  # by this FFmpeg
        with open_clip(data) as clip:
            stored = corners()
            assert quarters(clip.frames([0])[0]) == quarters(EXIF[orientation](stored) if known else stored)


def test_orientation_of_a_matrix():
    for degrees, matrix in {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}.items():
        orientation = Orientation.from_matrix(*(65_536 * value for value in matrix))
        assert quarters(orientation.apply(corners())) == quarters(np.rot90(corners(), degrees // 90))
        assert not orientation.mirrored


def test_side_data_are_never_asked_for():
    """PyAV's wrapper of a frame's side data frees metadata that the frame frees too."""
    for path in Path(avgn_edge.__file__).parent.rglob("*.py"):
        assert not re.search(r"\.side_data\b(?!`)", path.read_text(encoding="utf-8")), path


def test_a_named_colour_profile_does_not_end_the_process(tmp_path):
    """With freed memory overwritten, as glibc does when asked, what is freed twice ends the process for certain."""
    path = tmp_path / "named.png"
    path.write_bytes(png(b"iCCP", profile()))
    with av.open(str(path)) as file:
        assert next(file.decode(video=0)).width == SIZE[0]
    code = (
        "import gc, sys; from avgn_edge.media import open_clip\n"
        "for _ in range(3):\n"
        "    with open_clip(sys.argv[1]) as clip: print(len(clip.frames(range(4))), clip.picture(0).shape)\n"
        "    del clip; gc.collect()\n"
    )
    environment = os.environ | {"MALLOC_PERTURB_": "85", "PYTHONMALLOC": "malloc"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "4 (48, 64, 3)\n" * 3
