"""Decoding in the background: frames that will be wanted decode in a thread while sound is read and graphs run."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from avgn_edge.media.clip import OutOfTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from avgn_edge.media.decoder_pool import DecoderPool
    from avgn_edge.media.frames import Pixels


class Prefetcher:
    """Gets frames from a `DecoderPool`, some of them in a thread of its own before they are asked for.

    The pool never works in two threads at once: whoever uses it directly calls `wait` before. Times are seconds of the
    file, and are given in rising order.
    """

    def __init__(self, pool: DecoderPool) -> None:
        self.pool = pool
        self._lock = threading.Lock()
        self._waiting: tuple[float, ...] = ()
        """What the thread decodes next."""
        self._thread: threading.Thread | None = None
        self._idle = True
        self._ready: dict[float, Pixels | None] = {}
        """The frames that the thread has decoded, by time."""
        self.seconds = 0.0
        """How long the thread has decoded, whether anything waited for it or not."""

    def start(self, times_s: Sequence[float]) -> None:
        """Begin to decode the frames at `times_s`, after those that are being decoded already.

        They replace those of an earlier call that were not begun. What `frames` asks for first is not begun either.
        Nothing is raised, now or later: whoever asks for a frame that could not be decoded meets the error then.
        """
        with self._lock:
            self._waiting = tuple(times_s)
            if not self._waiting or not self._idle:
                return
            self._idle = False
        thread = threading.Thread(target=self._decode, name="avgn-edge-prefetch")
        thread.start()
        self._thread = thread

    def frames(
        self, times_s: Sequence[float], deadline: float | None, likely_s: Sequence[float] = ()
    ) -> dict[float, Pixels | None]:
        """Wait for the thread, decode what is missing, and return the frames as `DecoderPool.frames` does."""
        self.wait(deadline)
        missing = [time_s for time_s in times_s if time_s not in self._ready]
        decoded = self.pool.frames(missing, deadline, likely_s) if missing else {}
        return {time_s: self._ready[time_s] if time_s in self._ready else decoded[time_s] for time_s in times_s}

    def work(self, times_s: Sequence[float]) -> int:
        """Wait for the thread, and return about how much the pool has to do for the frames at these times."""
        self.wait()
        return self.pool.work([time_s for time_s in times_s if time_s not in self._ready])

    def wait(self, deadline: float | None = None) -> None:
        """Wait until the thread has decoded what it is at, so that the calling thread may use the pool.

        Raises OutOfTime if that is not done by `deadline`, in seconds of `time.perf_counter`.
        """
        if self._thread is None:
            return
        with self._lock:
            self._waiting = ()
        self._thread.join(None if deadline is None else max(0.0, deadline - time.perf_counter()))
        if self._thread.is_alive():
            raise OutOfTime
        self._thread = None

    def stop(self) -> None:
        """Make the thread give up before its next packet, wait for it, and drop what it has decoded."""
        if self._thread is not None:
            self.pool.interrupt.set()
            self.wait()
            self.pool.interrupt.clear()
        self._ready.clear()
        self.seconds = 0.0

    def close(self) -> None:
        """Stop the thread and close the pool."""
        self.stop()
        self.pool.close()

    def _decode(self) -> None:
        """Decode what is waiting until nothing is."""
        while True:
            with self._lock:
                wanted, self._waiting = self._waiting, ()
                if not wanted:
                    self._idle = True
                    return
            started = time.perf_counter()
            with contextlib.suppress(Exception):
                missing = [time_s for time_s in wanted if time_s not in self._ready]
                if missing:
                    self._ready.update(self.pool.frames(missing, None))
            self.seconds += time.perf_counter() - started
