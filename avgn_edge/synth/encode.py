"""Writing a rendered clip as an MP4 of H.264 and AAC, the same bytes each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from avgn_edge.synth.plan import FPS, HEIGHT, WIDTH
from avgn_edge.synth.render import render_audio, render_frame

if TYPE_CHECKING:
    from pathlib import Path

    from avgn_edge.synth.plan import ClipPlan
    from avgn_edge.synth.sources import Sources

SAMPLE_RATE = 44_100
AUDIO_BITS = 96_000


def encode_clip(plan: ClipPlan, sources: Sources, path: Path) -> None:
    """Render and write a clip; the file appears whole under its name, or not at all."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        _write(plan, sources, unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write(plan: ClipPlan, sources: Sources, path: Path) -> None:
    stereo = plan.stereo_balance is not None
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_count = 1
        video.options = {
            "crf": str(plan.crf),
            "preset": "veryfast",
            "g": str(plan.key_interval),
            "sc_threshold": "0",  # a key frame each interval, and nowhere else: the cuts are not given away
            "flags": "+bitexact",
        }
        sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="stereo" if stereo else "mono")
        sound.bit_rate = AUDIO_BITS
        sound.codec_context.thread_count = 1
        sound.options = {"flags": "+bitexact"}

        samples = _channels(render_audio(plan, sources, SAMPLE_RATE), plan.stereo_balance)
        written = 0
        for index in range(plan.frames):
            picture = av.VideoFrame.from_ndarray(render_frame(plan, sources, index / FPS), format="rgb24")
            picture.pts = index
            container.mux(video.encode(picture))
            until = round((index + 1) / FPS * SAMPLE_RATE)
            block = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, written:until]), format="fltp", layout="stereo" if stereo else "mono"
            )
            block.sample_rate, block.pts = SAMPLE_RATE, written
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
