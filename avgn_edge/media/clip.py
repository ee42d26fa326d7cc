"""`Clip`: the moments of an audio-visual clip, the sound around them, and their frames on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from avgn_edge.media.moments import Moment


class OutOfTime(Exception):  # noqa: N818 - not a fault: what was read until then stands
    """Reading was given up because its deadline had come."""


@dataclass(frozen=True)
class SoundLimit:
    """How much time there is for a clip's sound. Times are seconds of `time.perf_counter`."""

    order: Sequence[int]
    """Moments, those whose sound matters most first; some sound is read whatever the time."""
    deadline: float
    """When all must be done: reading, and what follows it."""
    each_s: float
    """Seconds that reading a moment's sound is expected to take, until one has been read."""
    later_s: Callable[[int], float]
    """Seconds that the work after reading takes, given the number of moments that were read."""


def not_heard(count: int, moments: int) -> str:
    """Return the warning that the sound of `count` of a clip's `moments` was left out."""
    return f"out of time: the sound of {count} of {moments} moments was not read"


class Clip(ABC):
    """An audio-visual clip, made by `open_clip` or as an `ArrayClip`, and not for several threads at once.

    To make another kind of clip, derive from this class: set the attributes, and define `windows` and `frames`. All
    other members have a default.
    """

    name: str
    """What to call the clip in messages and results."""
    duration_s: float
    """Seconds of video, or of sound where there is no video; 0 for a single picture."""
    moments: tuple[Moment, ...]
    """The moments, in order of time; the frame of a moment is the one shown at its `time_s`."""
    has_video: bool
    """Whether `frames` can be asked for."""
    has_audio: bool
    """Whether there is a track of sound, silent or not."""

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames turned upright, in stored pixels; None without video."""
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found wrong with the clip so far: it grows as the clip is read."""
        return ()

    @property
    def conversions(self) -> int:
        """How many frames have been converted to RGB."""
        return 0

    @property
    def prefetched_s(self) -> float:
        """Seconds of decoding in the background since `prefetch` was first called; `stop_prefetch` sets it to 0."""
        return 0.0

    @abstractmethod
    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments.

        Args:
            limit: How much time there is. Sound that it leaves no time for is silent, and a warning says so.

        Returns:
            The windows, float32 [moments, samples], mono at the front end's rate: centred on each moment, zero outside
            the clip and in gaps; and whether there is sound in them, bool [moments]: False for digital silence and
            without a track.
        """

    @abstractmethod
    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Decode and convert the frames of some moments, and no others.

        Args:
            indices: The moments, in any order.
            deadline: When to give up, in seconds of `time.perf_counter`; None is never.

        Returns:
            A frame for each index: uint8 [224, 224, 3], RGB, upright. Moments that show the same frame may share an
            array.

        Raises:
            OutOfTime: The deadline has come, or would come before the frames are there.
        """

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much `frames` has to do for these moments, in a unit of the clip's own."""
        return len(indices)

    def prefetch(self, indices: Sequence[int]) -> None:
        """Say that the frames of these moments will be asked for next: they may be decoded in the background.

        They replace those of an earlier call that are not being decoded yet. Nothing is raised: a frame that cannot
        be decoded is an error of `frames`.
        """
        del indices

    def stop_prefetch(self) -> None:  # noqa: B027 - there is nothing to stop by default
        """Stop decoding in the background, and drop the frames that `prefetch` brought."""

    def hint(self, indices: Sequence[int]) -> None:
        """Say which moments are likely to be asked for after the next call of `frames`, the likeliest first.

        That call may decode some of them on idle cores, and converts none of them.
        """
        del indices

    def close(self) -> None:
        """Close files and decoders; asking for frames afterwards is an error."""
        self.stop_prefetch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ClipWrapper(Clip):
    """A clip that asks another one for its sound and frames; nothing is decoded in the background.

    The other clip need not derive from `Clip`: it is enough that it has the members of `Clip` without prefetching and
    hints.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self.name, self.duration_s, self.moments = clip.name, clip.duration_s, clip.moments
        self.has_video, self.has_audio = clip.has_video, clip.has_audio

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the other clip's frames."""
        return self._clip.display_size

    @property
    def warnings(self) -> tuple[str, ...]:
        """The other clip's warnings."""
        return self._clip.warnings

    @property
    def conversions(self) -> int:
        """How many frames the other clip has converted."""
        return self._clip.conversions

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the other clip's windows."""
        return self._clip.windows(limit)

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Return the other clip's frames."""
        return self._clip.frames(indices, deadline)

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much the other clip has to do."""
        return self._clip.work(indices)

    def close(self) -> None:
        """Close the other clip."""
        self._clip.close()
