"""From a source's time stamps to seconds of the stream, which never jump: sources come back, wrap, and start anew."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["video", "audio"]
AHEAD_S: Final = 5.0
BACK_S: Final = 1.0
"""Time stamps further ahead of, or behind, the one before than this have jumped."""
TOGETHER_S: Final = 1.0
"""A track that jumps to within this of where the other already is has jumped with it."""


class Timeline:
    """Keeps video and sound on one clock. Each track has its shift, the same one for both unless one jumps alone."""

    def __init__(self) -> None:
        self._shift: dict[Kind, float] = {}
        self._due: dict[Kind, float] = {}
        self._base: float | None = None

    def connect(self, now_s: float) -> None:
        """A connection begins: its first time stamp is at second `now_s` of the stream."""
        self._shift.clear()
        self._due.clear()
        self._base = now_s

    def place(self, kind: Kind, time_s: float | None, lasts_s: float, now_s: float | None = None) -> float:
        """Return the second of the stream at which the source's `time_s` is.

        `now_s` is where a track that jumped goes on: for a live source what the clock says, None: where it left off.
        """
        due = self._due.get(kind)
        if time_s is None:
            placed = due if due is not None else max(self._due.values(), default=self._base or 0.0)
            self._due[kind] = placed + lasts_s
            return placed
        if kind not in self._shift:
            self._shift[kind] = next(iter(self._shift.values()), (self._base or 0.0) - time_s)
            # The first of a track may lie a little before the other's first, or far from it.
            if self._due and not -AHEAD_S <= time_s + self._shift[kind] - max(self._due.values()) <= AHEAD_S:
                self._shift[kind] = max(self._due.values()) - time_s
        elif due is not None and not -BACK_S <= time_s + self._shift[kind] - due <= AHEAD_S:
            self._shift[kind] = self._after_jump(kind, time_s, due if now_s is None else max(due, now_s))
        placed = time_s + self._shift[kind]
        self._due[kind] = placed + lasts_s
        return placed

    def move(self, seconds: float) -> None:
        """Let everything be later by `seconds`: the source's clock runs slower, or faster, than ours."""
        for kind in self._shift:
            self._shift[kind] += seconds
            self._due[kind] += seconds

    def _after_jump(self, kind: Kind, time_s: float, goes_on_s: float) -> float:
        for other, shift in self._shift.items():
            if other != kind and abs(time_s + shift - self._due[other]) <= TOGETHER_S:
                return shift
        return goes_on_s - time_s
