"""A long video as `media` opens it: stretches of its sound, and frames anywhere in it, in bounded memory."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO, cast

from avgn_edge.media.opening import open_clip
from avgn_edge.runtime.front_end import frame_geometry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.bundle.manifest import Preprocessing
    from avgn_edge.media.clip import Clip

    VideoSource = str | os.PathLike[str] | bytes | BinaryIO


class Video:
    """A file, its bytes or a binary file object; opened anew for each stretch, so that nothing piles up."""

    def __init__(self, source: VideoSource, given: Preprocessing) -> None:
        self._source = source
        self._geometry = frame_geometry(given)
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
            cast("str", self._source), geometry=self._geometry, start_s=start_s, end_s=end_s, times=inside
        ) as clip:
            yield clip

    def whole(self, times_s: Sequence[float]) -> Clip:
        """Open the whole video at moments (rising, seconds), for their frames."""
        return open_clip(cast("str", self._source), geometry=self._geometry, times=list(times_s))
