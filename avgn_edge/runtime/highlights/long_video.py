"""A long video: stretches of its sound decoded forwards, and frames anywhere in it, in bounded memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from avgn_edge._base.errors import ClipError
from avgn_edge.media.front_ends import YAMNET
from avgn_edge.media.logmel import log_mel
from avgn_edge.media.opening import open_clip
from avgn_edge.runtime.budget import DECODE_AUDIO, FRONT_END, Run
from avgn_edge.runtime.front_end import frame_geometry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Preprocessing
    from avgn_edge.media.clip import Clip

    VideoSource = str | os.PathLike[str] | bytes | BinaryIO
    from avgn_edge.runtime.budget import Ledger
    from avgn_edge.runtime.highlights.scoring import HighlightPolicy


class Video:
    """A file, its bytes or a binary file object; opened anew for each stretch, so that nothing piles up."""

    def __init__(self, source: VideoSource, given: Preprocessing) -> None:
        self._source = source
        self._geometry, self.sound = frame_geometry(given), given.sound
        self._warnings: dict[str, None] = {}
        with open_clip(source, geometry=self._geometry) as clip:
            self.name, self.duration_s = clip.name, clip.duration_s
            self.has_video, self.has_audio = clip.has_video, clip.has_audio
            self.note(clip.warnings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not as it should be, so far, each once."""
        return tuple(self._warnings)

    def note(self, warnings: Iterable[str]) -> None:
        """Take over warnings."""
        self._warnings.update(dict.fromkeys(warnings))

    @contextlib.contextmanager
    def stretch(self, times_s: Sequence[float] | NDArray[np.floating], edge_s: float) -> Iterator[Clip]:
        """Open the stretch around moments (rising, seconds of the video), with `edge_s` of its sound on either side."""
        start_s = max(0.0, float(times_s[0]) - edge_s)
        end_s = min(self.duration_s, float(times_s[-1]) + edge_s)
        inside = [min(max(float(time_s) - start_s, 0.0), end_s - start_s) for time_s in times_s]
        with open_clip(
            cast("str", self._source),
            geometry=self._geometry,
            front_end=self.sound,
            start_s=start_s,
            end_s=end_s,
            times=inside,
        ) as clip:
            yield clip

    def whole(self, times_s: Sequence[float]) -> Clip:
        """Open the whole video at moments (rising, seconds), for their frames."""
        return open_clip(cast("str", self._source), geometry=self._geometry, times=list(times_s))


TOGETHER: Final = 64
"""Moments whose sound is in memory at once: 4 MB."""
EDGE_S: Final = YAMNET.window_samples / 2 / YAMNET.sample_rate + 0.01
"""Sound on either side of a stretch that its outermost windows reach for: of every front end they are as long."""


def listen(
    video: Video,
    times_s: NDArray[np.float64],
    policy: HighlightPolicy,
    ledger: Ledger,
    progress: Callable[[int], None],
) -> None:
    """Fill in what is known of every moment with sound; `progress` is told how many moments are done.

    A moment is heard alone: the same compute as together, and the network answers for each. A stretch whose sound
    cannot be read is as silent as a gap, and a warning says so; ClipError where there is nothing but such stretches.
    """
    failed: ClipError | None = None
    seen = policy.seen
    for first in range(0, len(seen), TOGETHER):
        rows = range(first, min(first + TOGETHER, len(seen)))
        started = time.perf_counter()
        try:
            with video.stretch(times_s[rows.start : rows.stop], EDGE_S) as clip:
                windows, heard = clip.windows()
                video.note(clip.warnings)
        except ClipError as error:
            failed = error
            video.note([f"sound is missing from {times_s[rows.start]:.0f} s on: {error.why}"])
            continue
        ledger.charge(Run(DECODE_AUDIO, len(rows)), time.perf_counter() - started)
        seen.heard[rows.start : rows.stop] = heard
        if heard.any():
            with ledger.timing(Run(FRONT_END, int(heard.sum()))):
                spectrograms = log_mel(windows[heard], video.sound)
            for row, spectrogram in zip((row for row in rows if seen.heard[row]), spectrograms, strict=True):
                policy.listen(spectrogram[None], row)
        progress(rows.stop)
    if failed is not None and not seen.heard.any():
        raise failed
