"""Makes media for tests: videos whose every frame says its own number, sounds whose clicks are where they should be."""

from __future__ import annotations

import io
import tempfile
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

BITS = 16
TICKS = 1_000
"""Time stamps of made videos count milliseconds."""


@dataclass(frozen=True)
class VideoSpec:
    """A video to make; frame i shows the number i from `times[i]` seconds on."""

    times: Sequence[float] = field(default_factory=lambda: [i / 10 for i in range(40)])
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    size: tuple[int, int] = (128, 96)
    gop: int = 12
    b_frames: int = 2
    rotation: int = 0
    options: dict[str, str] = field(default_factory=dict)

    def shown_at(self, time_s: float) -> int:
        """The number of the frame shown `time_s` seconds after the first one starts."""
        return max(0, bisect_right([round(t * TICKS) for t in self.times], self.times[0] * TICKS + time_s * TICKS) - 1)


@dataclass(frozen=True)
class SoundSpec:
    """A sound to make, float32 [samples, channels], ±1."""

    samples: NDArray[np.float32]
    rate: int = 44_100
    codec: str = "aac"
    sample_fmt: str = "fltp"
    start_s: float = 0.0


def numbered(number: int, size: tuple[int, int] = (128, 96)) -> NDArray[np.uint8]:
    """Draw `number` as black and white blocks, eight bits above eight; uint8 [H, W, 3]."""
    width, height = size
    bits = np.array([number >> bit & 1 for bit in range(BITS)], dtype=np.uint8).reshape(2, BITS // 2)
    rows = np.arange(height) * 2 // height
    columns = np.arange(width) * (BITS // 2) // width
    return np.repeat((16 + 220 * bits[rows][:, columns])[..., np.newaxis], 3, axis=2).astype(np.uint8)


def number_of(pixels: NDArray[np.uint8], resize: int = 256) -> int:
    """Read the number off a converted frame, uint8 [224, 224, 3]."""
    offset = (resize - pixels.shape[0]) // 2
    columns = [int((bit + 0.5) * resize * 2 / BITS) - offset for bit in range(BITS // 2)]
    # The outermost blocks are cut in half by the crop.
    columns = [min(max(column, 4), pixels.shape[1] - 5) for column in columns]
    rows = [resize // 4 - offset, resize * 3 // 4 - offset]
    values = [pixels[row - 3 : row + 4, column - 3 : column + 4].mean() for row in rows for column in columns]
    return sum(1 << bit for bit, value in enumerate(values) if value > 128)


def click(at_s: float, length_s: float, rate: int, channels: int = 1, width_s: float = 0.001) -> NDArray[np.float32]:
    """Make silence with one smooth click; float32 [samples, channels]."""
    times = np.arange(round(length_s * rate)) / rate
    return np.repeat((0.8 * np.exp(-(((times - at_s) / width_s) ** 2)))[:, np.newaxis], channels, axis=1).astype(
        np.float32
    )


def tone(hertz: float, length_s: float, rate: int, channels: int = 1) -> NDArray[np.float32]:
    """Make a sine of amplitude a half; float32 [samples, channels]."""
    times = np.arange(round(length_s * rate)) / rate
    return np.repeat((0.5 * np.sin(2 * np.pi * hertz * times))[:, np.newaxis], channels, axis=1).astype(np.float32)


def make_media(
    video: VideoSpec | None, sound: SoundSpec | None = None, container: str = "mp4", **options: str
) -> bytes:
    """Encode a file and return its bytes; `options` are the muxer's."""
    with tempfile.TemporaryDirectory() as folder:  # "faststart" reads back what it wrote
        path = Path(folder) / "made"
        _write(path, video, sound, container, options)
        return path.read_bytes()


def _write(path, video, sound, container, options):
    with av.open(str(path), "w", format=container, options=options) as output:
        streams = []
        if video is not None:
            streams.append((_add_video(output, video), _video_frames(video)))
        if sound is not None:
            streams.append((_add_sound(output, sound), _sound_frames(sound)))
        for stream, frames in streams:
            for frame in frames:
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


def write_media(path: Path, video: VideoSpec | None, sound: SoundSpec | None = None, container: str = "mp4") -> Path:
    """Encode a file to `path`."""
    path.write_bytes(make_media(video, sound, container))
    return path


def _add_video(output, video):
    stream = output.add_stream(video.codec, rate=TICKS if video.codec not in {"gif", "mpeg4"} else 10)
    stream.width, stream.height = video.size
    stream.pix_fmt = video.pix_fmt
    stream.codec_context.time_base = Fraction(1, TICKS)
    stream.time_base = Fraction(1, TICKS)
    stream.gop_size = video.gop
    stream.codec_context.max_b_frames = video.b_frames
    defaults = {
        "libx264": {"preset": "ultrafast", "sc_threshold": "0", "bf": str(video.b_frames), "crf": "18"},
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    }
    stream.codec_context.options = defaults.get(video.codec, {}) | video.options
    if video.rotation:
        stream.set_display_rotation(video.rotation)
    return stream


def _video_frames(video):
    for number, time in enumerate(video.times):
        pixels = numbered(number, _shown_size(video))
        # Stored turned the other way, so that the player's turn rights it.
        pixels = np.ascontiguousarray(np.rot90(pixels, -video.rotation // 90))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=video.pix_fmt)
        frame.pts, frame.time_base = round(time * TICKS), Fraction(1, TICKS)
        yield frame


def _shown_size(video):
    return video.size if video.rotation % 180 == 0 else video.size[::-1]


def _add_sound(output, sound):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.samples.shape[1]]
    stream = output.add_stream(sound.codec, rate=sound.rate, layout=layout)
    stream.codec_context.format = sound.sample_fmt
    return stream


def _sound_frames(sound):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[sound.samples.shape[1]]
    planes = np.ascontiguousarray(sound.samples.T)
    for start in range(0, planes.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(planes[:, start : start + 1024]), format="fltp", layout=layout
        )
        frame.sample_rate = sound.rate
        frame.time_base = Fraction(1, sound.rate)
        frame.pts = start + round(sound.start_s * sound.rate)
        yield frame


def song_with_cover() -> bytes:
    """Two seconds of MP3, 440 Hz, with a picture of 64 × 64 attached."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as output:
        sound = output.add_stream("libmp3lame", rate=44_100)
        cover = output.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        output.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        for start in range(0, 88_200, 1152):
            frame = av.AudioFrame.from_ndarray(
                tone(440, 2, 44_100)[start : start + 1152].T.copy(), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 44_100, start
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
    return buffer.getvalue()
