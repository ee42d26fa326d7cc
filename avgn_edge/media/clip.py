"""What the runtime asks of a clip, wherever it comes from: its moments, their sound, and the frames it points at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from avgn_edge.media.moments import Moment


class OutOfTime(Exception):  # noqa: N818 - not a fault: what was read until then stands
    """Reading was given up because its deadline had come."""


@dataclass(frozen=True)
class SoundLimit:
    """What time allows of a clip's sound. Times are seconds of `time.perf_counter`."""

    order: Sequence[int]
    """Moments, those whose sound matters most first; some sound is read whatever the time."""
    deadline: float
    """When all must be done: reading, and what follows it."""
    each_s: float
    """Seconds that reading a moment's sound is expected to take, until one has been read."""
    later_s: Callable[[int], float]
    """Seconds that what follows takes for the sound of so many moments."""


def not_heard(count: int, moments: int) -> str:
    """The warning that sound was left out."""
    return f"out of time: the sound of {count} of {moments} moments was not read"


class Clip(Protocol):
    """An audio-visual clip. Not for several threads at once, but as `media.around.Interruptible` allows."""

    @property
    def name(self) -> str:
        """What to call the clip in messages and results."""

    @property
    def duration_s(self) -> float:
        """Seconds of video, or of sound where there is no video; 0 for a single picture."""

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments, in order of time; `time_s` is the time wanted of each."""

    @property
    def has_video(self) -> bool:
        """Whether `frames` can be asked for."""

    @property
    def has_audio(self) -> bool:
        """Whether there is a track of sound, silent or not."""

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames turned upright, in stored pixels; None without video."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was not as it should be, so far: it grows as the clip is read."""

    @property
    def conversions(self) -> int:
        """How many frames have been converted to RGB."""

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments and whether there is any.

        float32 [moments, 15600], 16 kHz mono centred on each moment, zero outside the clip and in gaps;
        bool [moments], False for digital silence and without a track. With a limit, what it leaves no time for is
        zero and False too, and a warning says so.
        """

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much `frames` has to do for these moments, in a unit of the clip's own."""

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Decode and convert the frames of the moments `indices`, in that order; no others are converted.

        Each uint8 [224, 224, 3], RGB, upright. Moments that show the same frame may share an array.
        Raises OutOfTime if that is not done by `deadline`, seconds of `time.perf_counter`.
        """

    def close(self) -> None:
        """Let go of files and decoders; asking for frames afterwards is an error."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


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
