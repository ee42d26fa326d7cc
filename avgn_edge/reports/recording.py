"""A clip that remembers what was taken from it: the frames and the sound that a report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avgn_edge.media.around import ClipAround

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.media.clip import Clip
    from avgn_edge.media.limit import SoundLimit


class RecordingClip(ClipAround):
    """A `Clip` around another, which is opened when the first thing is asked of it.

    So the time that opening takes is the clip's own, inside a budget of time too. Raises what opening raises.
    """

    def __init__(self, open_it: Callable[[], Clip]) -> None:
        self._open_it = open_it
        self._opened: Clip | None = None
        self.seen: dict[int, NDArray[np.uint8]] = {}
        """The frames that were delivered, uint8 [crop, crop, 3] each, by moment, in their order."""
        self.sound: NDArray[np.float32] | None = None
        """The windows that were delivered, float32 [moments, 15600]."""
        self.heard: NDArray[np.bool_] | None = None
        """Which of them have sound, bool [moments]."""

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments, and keep it."""
        self.sound, self.heard = self._clip.windows(limit)
        return self.sound, self.heard

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Return the frames of these moments, and keep them."""
        frames = self._clip.frames(indices, deadline)
        self.seen.update(zip(indices, frames, strict=True))
        return frames

    def close(self) -> None:
        """Close the clip if it was opened; what was kept stays readable."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _clip(self) -> Clip:
        if self._opened is None:
            self._opened = self._open_it()
        return self._opened
