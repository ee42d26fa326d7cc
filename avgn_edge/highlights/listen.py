"""Listening to all of a long video: its sound decoded once, forwards, a stretch at a time (AVGN, 3.5, step 1)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from avgn_edge.errors import ClipError
from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES, log_mel
from avgn_edge.runtime.ledger import DECODE_AUDIO, FRONT_END, Run

if TYPE_CHECKING:
    from avgn_edge.highlights.policy import HighlightPolicy
    from avgn_edge.highlights.source import Video
    from avgn_edge.highlights.track import Track
    from avgn_edge.runtime.ledger import Ledger

TOGETHER: Final = 64
"""Moments whose sound is in memory at once: 4 MB."""
EDGE_S: Final = WINDOW_SAMPLES / 2 / SAMPLE_RATE + 0.01
"""Sound on either side of a stretch that its outermost windows reach for."""


def listen(
    video: Video, track: Track, policy: HighlightPolicy, ledger: Ledger, progress: Callable[[int], None]
) -> None:
    """Fill in what is known of every moment with sound; `progress` is told how many moments are done.

    A moment is heard alone: the same compute as together, and the network answers for each. A stretch whose sound
    cannot be read is as silent as a gap, and a warning says so; ClipError where there is nothing but such stretches.
    """
    failed: ClipError | None = None
    for first in range(0, len(track), TOGETHER):
        rows = range(first, min(first + TOGETHER, len(track)))
        started = time.perf_counter()
        try:
            with video.stretch(track.times_s[rows.start : rows.stop], EDGE_S) as clip:
                windows, heard = clip.windows()
                video.note(clip.warnings)
        except ClipError as error:
            failed = error
            video.note([f"sound is missing from {track.times_s[rows.start]:.0f} s on: {error.why}"])
            continue
        ledger.charge(Run(DECODE_AUDIO, len(rows)), time.perf_counter() - started)
        track.heard[rows.start : rows.stop] = heard
        if heard.any():
            with ledger.timing(Run(FRONT_END, int(heard.sum()))):
                spectrograms = log_mel(windows[heard])
            for row, spectrogram in zip((row for row in rows if track.heard[row]), spectrograms, strict=True):
                track.audio[row], track.audio_says[row] = policy.listen(spectrogram[None])
        progress(rows.stop)
    if failed is not None and not track.heard.any():
        raise failed
