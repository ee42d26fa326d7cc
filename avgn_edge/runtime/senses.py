"""A clip as a policy hears and sees it: decoding, front end, the clock's limits on both, and decoding ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.clip import OutOfTime, SoundLimit
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.logmel import log_mel
from avgn_edge.runtime.budget import DECODE, DECODE_AUDIO, FRONT_END, Ledger, Run

if TYPE_CHECKING:
    from avgn_edge.media.clip import Clip
    from avgn_edge.runtime.sessions import Flags, Floats


class Senses:
    """Hears and sees one clip, and charges the ledger for it.

    With a time budget, sound is read and frames are decoded as far as there is time for them and for what follows;
    without one, frames that are expected decode in a thread beside everything else.
    """

    def __init__(self, clip: Clip, ledger: Ledger, front_end: FrontEnd = YAMNET) -> None:
        self._clip, self._ledger, self._front_end = clip, ledger, front_end
        self.name = clip.name
        self.has_video, self.has_audio = clip.has_video, clip.has_audio

    def listen(self, order: Sequence[int], encode: Callable[[int], Run]) -> tuple[Floats, Flags]:
        """Return log-mel spectrograms [n, 1, *shape] of the moments that are heard, and which those are [T].

        Against the clock the moments of `order` go first; `encode` says what encodes so many of them.
        """
        limit = None
        if self._ledger.timed:
            limit = SoundLimit(
                order=order,
                deadline=self._ledger.latest(),
                each_s=self._ledger.expect(Run(DECODE_AUDIO)),
                later_s=lambda moments: self._ledger.expect(Run(FRONT_END, moments), encode(moments)),
            )
        started = time.perf_counter()
        windows, heard = self._clip.windows(limit)
        count = int(heard.sum())
        self._ledger.charge(Run(DECODE_AUDIO, count or len(windows)), time.perf_counter() - started)
        if not count:
            return np.zeros((0, 1, *self._front_end.shape), np.float32), heard
        with self._ledger.timing(Run(FRONT_END, count)):
            return log_mel(windows[heard], self._front_end), heard

    def decoding(self, moments: Sequence[int]) -> Run:
        """Return the run that decodes the frames of these moments; how much that is, only a time budget asks."""
        return Run(DECODE, self._clip.work(moments) if self._ledger.timed else len(moments))

    def frames(self, moments: Sequence[int], *after: Run, must: bool = False) -> NDArray[np.uint8]:
        """Decode the frames of moments, uint8 [n, H, W, 3], RGB, upright.

        OutOfTime where a time budget leaves no time for that and for `after`, unless it `must` be done.
        """
        limited = self._ledger.timed and not must
        with self._ledger.timing(self.decoding(moments)):
            frames = self._clip.frames(moments, self._ledger.latest(*after) if limited else None)
        if limited and not self._ledger.affords(*after):
            raise OutOfTime
        return np.stack(frames)

    def within_reach(self, moments: Sequence[int], encode: Run) -> list[int]:
        """Return those of `moments` that there is time to see and to `encode` one by one, in order of time.

        The first ones first. One too far from its key frame is left out, and does not keep those after it from their
        turn.
        """
        chosen: list[int] = []
        for moment in moments:
            wanted = sorted([*chosen, moment])
            if self._ledger.affords(Run(DECODE, self._clip.work(wanted)), *[encode] * len(wanted)):
                chosen = wanted
        return chosen

    def quickest(self, moments: Sequence[int]) -> int:
        """Return the one of `moments` whose frame takes least to decode."""
        return min(moments, key=lambda moment: self._clip.work([moment]))

    def expect(self, moments: Sequence[int]) -> None:
        """Say that these are certain to be seen: decoding them begins beside everything else."""
        if not self._ledger.timed and self.has_video:
            self._clip.prefetch(moments)

    def hint(self, moments: Sequence[int]) -> None:
        """Say that these are likely to be seen after the next ones: they may be decoded along with those."""
        if not self._ledger.timed:
            self._clip.hint(moments)
