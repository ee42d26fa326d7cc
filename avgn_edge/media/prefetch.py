"""Decoding ahead of compute: frames that will be wanted decode in a thread while sound is read and graphs run."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from avgn_edge._base.errors import ClipError
from avgn_edge.media.clip import ClipAround, OutOfTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.media.clip import Clip


class AheadClip(ClipAround):
    """A `Clip` around another whose frames may be told to be wanted soon; as little for several threads as any.

    One thread of its own decodes what is expected. The other clip is never in `frames` twice at once, and in `windows`
    and `frames` at once only if it says that it may be (it is `Interruptible`); of others nothing is decoded ahead.
    `stop` or `close` it: they wait for the thread, which gives up before its next packet.
    """

    def __init__(self, clip: Clip) -> None:
        super().__init__(clip)
        self._stopper = self.interrupt
        self._lock = threading.Lock()
        self._expected: tuple[int, ...] = ()  # and not begun
        self._thread: threading.Thread | None = None
        self._idle = True
        self._ready: dict[int, NDArray[np.uint8]] = {}
        self._closed = False
        self.ahead_s = 0.0
        """Seconds that the thread has decoded, whether anything waited for it or not."""

    def expect(self, indices: Sequence[int]) -> None:
        """Say that the frames of these moments will be asked for next: decoding them begins now.

        Until `frames` is called, or `expect` again: what was not begun then is not begun. Nothing is raised, now or
        later: whoever asks for a frame that could not be decoded meets the error then.
        """
        if self._stopper is None:
            return
        with self._lock:
            self._expected = tuple(indices)
            if not self._expected or not self._idle:
                return
            self._idle = False
        thread = threading.Thread(target=self._decode, name="avgn-edge-ahead")
        thread.start()
        self._thread = thread

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much `frames` has to do for these moments; waits for what is under way."""
        self._settle()
        return super().work([index for index in indices if index not in self._ready])

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames turned upright; waits for what is under way."""
        self._settle()
        return super().display_size

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Wait for what is under way, decode what is missing, and return the frames of these moments, in that order."""
        if self._closed:
            raise ClipError(self.name, "it is closed", "open it again")
        self._settle(deadline)
        self._take(indices, deadline)
        return [self._ready[index] for index in indices]

    def stop(self) -> None:
        """End the thread and leave the other clip as it is; nothing is decoded ahead afterwards."""
        stopper, self._stopper = self._stopper, None
        if self._thread is not None and stopper is not None:
            stopper.set()
            self._settle()
            stopper.clear()

    def close(self) -> None:
        """End the thread and close the other clip."""
        self.stop()
        self._closed = True
        super().close()

    def _settle(self, deadline: float | None = None) -> None:
        """Leave the other clip to the calling thread."""
        if self._thread is None:
            return
        with self._lock:
            self._expected = ()
        self._thread.join(None if deadline is None else max(0.0, deadline - time.perf_counter()))
        if self._thread.is_alive():
            raise OutOfTime
        self._thread = None

    def _decode(self) -> None:
        """Decode what is expected until nothing is."""
        while True:
            with self._lock:
                wanted, self._expected = self._expected, ()
                if not wanted:
                    self._idle = True
                    return
            started = time.perf_counter()
            with contextlib.suppress(Exception):
                self._take(wanted)
            self.ahead_s += time.perf_counter() - started

    def _take(self, indices: Sequence[int], deadline: float | None = None) -> None:
        missing = [index for index in dict.fromkeys(indices) if index not in self._ready]
        if missing:
            self._ready.update(zip(missing, self._clip.frames(missing, deadline), strict=True))
