"""What the runtime asks of a clip, wherever it comes from: its moments, their sound, and the frames it points at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from avgn_edge.media.limit import SoundLimit
    from avgn_edge.media.moments import Moment


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
