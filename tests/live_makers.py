"""A clock that only moves when it is told to, and sources that vanish, come back and change."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from avgn_edge.media.live.connection import Piece


class FakeClock:
    """Waiting takes no time and moves the clock; `waits` are the waits there were."""

    def __init__(self, now=1000.0):
        self.time = now
        self.waits = []

    def now(self):
        return self.time

    def wait(self, seconds, stop):
        self.waits.append(seconds)
        self.time += max(0.0, seconds)
        return stop.is_set()


def picture(size=(64, 48)):
    return av.VideoFrame.from_ndarray(np.zeros((size[1], size[0], 3), dtype=np.uint8), format="rgb24")


def sound(seconds=0.1, rate=16_000):
    frame = av.AudioFrame.from_ndarray(
        np.zeros((1, round(seconds * rate)), dtype=np.float32), format="fltp", layout="mono"
    )
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    return frame


def pieces(begin_s, end_s, fps=10, size=(64, 48), audio=True):
    """Frames, and sound beside each, with the source's own times."""
    for number in range(round((end_s - begin_s) * fps)):
        at = begin_s + number / fps
        yield Piece(picture(size), at, 1 / fps)
        if audio:
            yield Piece(sound(1 / fps), at, 1 / fps)


class FakeConnection:
    """Delivers what it is given, each as its time comes, and then raises, or ends."""

    what = "fake"

    def __init__(self, clock, given, error=None, *, ends=False, takes_s=None):
        self._clock, self._given, self._error, self.ends = clock, given, error, ends
        self._takes_s = takes_s
        self.hurries, self.closed = [], False

    def pieces(self):
        last = None
        for piece in self._given:
            if self._takes_s is not None:  # too slow a decoder
                self._clock.time += self._takes_s(self)
                yield piece
                continue
            passed = 0.0 if last is None or piece.time_s is None else min(1.0, max(0.0, piece.time_s - last))
            last = piece.time_s if piece.time_s is not None else last
            self._clock.time += passed
            yield Piece(piece.frame, piece.time_s, piece.lasts_s, passed)
        if self._error is not None:
            raise self._error

    def set_skip_level(self, level):
        self.hurries.append(level)

    def close(self):
        self.closed = True
