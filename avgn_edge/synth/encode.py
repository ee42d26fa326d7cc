"""Writing a rendered clip as an MP4 of H.264 and AAC, the same bytes each time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from avgn_edge.synth.plan import FPS, HEIGHT, WIDTH
from avgn_edge.synth.render import render_audio, render_frame
from avgn_edge.whole_file import whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from avgn_edge.synth.plan import ClipPlan
    from avgn_edge.synth.sources import Sources

SAMPLE_RATE = 44_100
AUDIO_BITS = 96_000


@dataclass(frozen=True)
class Encoding:
    """How a clip is written: frames a second, x264's quality and preset, frames between key frames, sound's rate."""

    fps: int
    crf: int
    key_interval: int
    sample_rate: int
    preset: str = "veryfast"


def encode_clip(plan: ClipPlan, sources: Sources, path: Path) -> None:
    """Render and write a clip; the file appears whole under its name, or not at all."""
    frames = (
        av.VideoFrame.from_ndarray(render_frame(plan, sources, index / FPS), format="rgb24")
        for index in range(plan.frames)
    )
    samples = _channels(render_audio(plan, sources, SAMPLE_RATE), plan.stereo_balance)
    write_clip(path, frames, samples, Encoding(FPS, plan.crf, plan.key_interval, SAMPLE_RATE))


def write_clip(
    path: Path,
    frames: Iterable[av.VideoFrame],
    samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    encoding: Encoding,
) -> None:
    """Write frames of 640 × 360 and sound (float32 [channels, n], one or two); whole under its name, or not at all.

    The frames may be one object again and again: their times are set here.
    """
    with whole(path) as unfinished:
        _write(unfinished, frames, samples, encoding)


def _write(
    path: Path,
    frames: Iterable[av.VideoFrame],
    samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    encoding: Encoding,
) -> None:
    layout = "stereo" if len(samples) == 2 else "mono"
    fps, rate = encoding.fps, encoding.sample_rate
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_count = 1
        video.options = {
            "crf": str(encoding.crf),
            "preset": encoding.preset,
            "g": str(encoding.key_interval),
            "sc_threshold": "0",  # a key frame each interval, and nowhere else: the cuts are not given away
            "flags": "+bitexact",
        }
        sound = container.add_stream("aac", rate=rate, layout=layout)
        sound.bit_rate = AUDIO_BITS
        sound.codec_context.thread_count = 1
        sound.options = {"flags": "+bitexact"}

        written = 0
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
            until = round((index + 1) / fps * rate)
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, written:until]), format="fltp", layout=layout
            )
            block.sample_rate, block.pts = rate, written
            container.mux(sound.encode(block))
            written = until
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def _channels(
    samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]], balance: float | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return [channels, n]; of two channels the mean is what one channel would be."""
    if balance is None:
        return samples[None]
    gains = np.array([[1 - balance], [1 + balance]], dtype=np.float32)
    two: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = samples[None] * gains
    return np.clip(two, -1, 1)
