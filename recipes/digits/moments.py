"""Moments of a clip as training sees them, straight from its plan: no file is written or read."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from avgn_edge.data.synth.clip_plan import episode_at
from avgn_edge.data.synth.render import render_audio, render_frame
from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from avgn_edge.data.synth.clip_plan import ClipPlan


__all__ = ["FRAME_SIDE", "compose_moments", "cut_windows", "draw_times", "episode_at"]

FRAME_SIDE = 256


def draw_times(rng: np.random.Generator, duration: float, count: int = 16) -> npt.NDArray[np.float64]:
    """Draw one moment in each of `count` equal bins of a clip: float64 [count], seconds, in order of time."""
    return (np.arange(count) + rng.random(count)) * (duration / count)


def compose_moments(
    plan: ClipPlan,
    times: npt.NDArray[np.floating] | Sequence[float],
    jpeg_quality: int | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return what inference would decode at each moment of a clip.

    frames: uint8 [n, 256, 256, 3], RGB, the whole frame squeezed; windows: float32 [n, 15600], 16 kHz, centred.
    `jpeg_quality`: what a video encoder would lose is lost to JPEG.
    """
    frames = np.empty((len(times), FRAME_SIDE, FRAME_SIDE, 3), dtype=np.uint8)
    for place, time_s in enumerate(times):
        whole = Image.fromarray(render_frame(plan, float(time_s)))
        if jpeg_quality is not None:
            file = BytesIO()
            whole.save(file, "JPEG", quality=jpeg_quality)
            whole = Image.open(file)
        frames[place] = np.asarray(whole.resize((FRAME_SIDE, FRAME_SIDE), Image.Resampling.BILINEAR))
    return frames, cut_windows(render_audio(plan, SAMPLE_RATE), times)


def cut_windows(
    samples: npt.NDArray[np.float32], times: npt.NDArray[np.floating] | Sequence[float]
) -> npt.NDArray[np.float32]:
    """Cut the windows centred on moments out of 16 kHz sound, silence beyond its ends: float32 [n, 15600]."""
    windows = np.zeros((len(times), WINDOW_SAMPLES), dtype=np.float32)
    for window, time_s in zip(windows, times, strict=True):
        begin = round(float(time_s) * SAMPLE_RATE) - WINDOW_SAMPLES // 2
        first, last = max(0, begin), min(len(samples), begin + WINDOW_SAMPLES)
        if first < last:
            window[first - begin : last - begin] = samples[first:last]
    return windows
