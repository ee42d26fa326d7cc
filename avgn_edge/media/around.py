"""A clip around another clip: what passes everything on, for what changes one thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from avgn_edge.media.clip import Clip
    from avgn_edge.media.limit import SoundLimit
    from avgn_edge.media.moments import Moment


@runtime_checkable
class Interruptible(Protocol):
    """What a clip has besides that may be in `windows` in one thread while another is in `frames`."""

    @property
    def interrupt(self) -> threading.Event | None:
        """While it is set, `frames` raises OutOfTime before its next packet. None: not such a clip after all."""


@runtime_checkable
class Foreseeing(Protocol):
    """What a clip has besides that decodes, on cores that would be idle, more than it is asked for."""

    def hint(self, indices: Sequence[int]) -> None:
        """Say which moments are likely to be asked for after the next call of `frames`, the likeliest first.

        That call may decode some besides, and converts none of them.
        """


class ClipAround:
    """A `Clip` that asks another for everything."""

    def __init__(self, clip: Clip) -> None:
        self._given = clip

    @property
    def _clip(self) -> Clip:
        return self._given

    @property
    def name(self) -> str:
        """What to call the clip in messages and results."""
        return self._clip.name

    @property
    def duration_s(self) -> float:
        """Seconds of video, or of sound where there is no video; 0 for a single picture."""
        return self._clip.duration_s

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments, in order of time."""
        return self._clip.moments

    @property
    def has_video(self) -> bool:
        """Whether `frames` can be asked for."""
        return self._clip.has_video

    @property
    def has_audio(self) -> bool:
        """Whether there is a track of sound, silent or not."""
        return self._clip.has_audio

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames turned upright; None without video."""
        return self._clip.display_size

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not as it should be, so far."""
        return self._clip.warnings

    @property
    def conversions(self) -> int:
        """How many frames have been converted to RGB."""
        return self._clip.conversions

    @property
    def interrupt(self) -> threading.Event | None:
        """The other clip's, if it has one: see `Interruptible`."""
        return self._clip.interrupt if isinstance(self._clip, Interruptible) else None

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments (float32 [moments, 15600]) and whether there is any (bool [moments])."""
        return self._clip.windows(limit)

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much `frames` has to do for these moments."""
        return self._clip.work(indices)

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Return the frames of these moments, each uint8 [crop, crop, 3], RGB, upright, in that order."""
        return self._clip.frames(indices, deadline)

    def hint(self, indices: Sequence[int]) -> None:
        """Tell the other clip, if it wants to know: see `Foreseeing`."""
        if isinstance(self._clip, Foreseeing):
            self._clip.hint(indices)

    def close(self) -> None:
        """Close the other clip."""
        self._clip.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
