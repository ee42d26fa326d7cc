"""Reads live sources in threads, into a bounded inbox that keeps the newest frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from avgn_edge.media.live.connection import (
    Connection,
    Item,
    Picture,
    Sound,
    Status,
    address_of,
    microphone,
)
from avgn_edge.media.live.live_reader import Reader, Reading

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from avgn_edge.media.live.live_reader import WallClock


Opened = tuple[Reading, Callable[[], Connection]]
"""How to read a source, and what opens it."""
REAL_TIME: Final = 1.0
"""How fast a file is played."""
MOST_PICTURES: Final = 8
MOST_SOUND_S: Final = 10.0
CLOSING_S: Final = 0.5
"""How long closing waits for each thread: a reader may sit in a call that only its own time limit ends."""


def sources(
    source: str, microphone_name: str | None = None, *, speed: float | None = REAL_TIME, give_up_s: float | None = None
) -> list[Opened]:
    """Return how to read a source, and a microphone beside it; nothing is opened yet.

    Args:
        source: As for `address_of`.
        microphone_name: As for `connection.microphone`.
        speed: How fast to play a source that is not live, in times real time; None is as fast as it is taken.
        give_up_s: How long to try to open a lost source again; None is for ever.

    Raises:
        ClipError: A name stands for nothing that can be read.
    """
    addresses = [address_of(source)] + ([] if microphone_name is None else [microphone(microphone_name)])
    return [
        (
            Reading(
                address.name,
                live=address.live,
                again=address.again and address.live,
                speed=None if address.live else speed,
                drains=address.drains,
                give_up_s=give_up_s,
            ),
            partial(Connection, address),
        )
        for address in addresses
    ]


class Inbox:
    """A bounded queue of what was read, safe to use from many threads.

    It keeps the newest few pictures. Of sound the older half is dropped when there is more than `MOST_SOUND_S` of it,
    and a status says so. A `patient` inbox drops nothing: `put` waits until there is room.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self._items: deque[Item] = deque()
        self._pictures, self._sound_s = 0, 0.0
        self._change = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None
        self.dropped_pictures = 0

    def put(self, item: Item) -> None:
        """Append an item."""
        with self._change:
            if self._patient:
                self._change.wait_for(lambda: self._closed or not self._full())
            self._items.append(item)
            self._count(item, 1)
            if not self._patient:
                self._drop()
            self._change.notify_all()

    def get(self, timeout_s: float) -> Item | None:
        """Take the oldest item; None if nothing came in time, or if all is over.

        When the inbox is empty, raises the error that it was closed with, once.
        """
        with self._change:
            self._change.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                item = self._items.popleft()
                self._count(item, -1)
                self._change.notify_all()
                return item
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    @property
    def over(self) -> bool:
        """Whether the inbox is empty and closed."""
        with self._change:
            return self._closed and not self._items and self._error is None

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more will be put in, and with which error reading ended."""
        with self._change:
            self._closed, self._error = True, error
            self._change.notify_all()

    def _full(self) -> bool:
        return self._pictures >= MOST_PICTURES or self._sound_s >= MOST_SOUND_S / 2

    def _count(self, item: Item, sign: int) -> None:
        if isinstance(item, Picture):
            self._pictures += sign
        elif isinstance(item, Sound):
            self._sound_s += sign * item.frame.samples / max(1, item.frame.sample_rate)

    def _drop(self) -> None:
        while self._pictures > MOST_PICTURES:
            self._remove(next(item for item in self._items if isinstance(item, Picture)))
            self.dropped_pictures += 1
        if self._sound_s <= MOST_SOUND_S:
            return
        before = self._sound_s
        while self._sound_s > MOST_SOUND_S / 2:
            self._remove(next(item for item in self._items if isinstance(item, Sound)))
        text = f"{before:.1f} s behind: {before - self._sound_s:.1f} s of sound were left out"
        self._items.appendleft(Status("behind", text, "the stream"))

    def _remove(self, item: Item) -> None:
        self._items.remove(item)
        self._count(item, -1)


class Feed:
    """Reads sources, each in a thread, inside a `with` block; `inbox` is where their items arrive."""

    def __init__(self, sources: Sequence[Opened], clock: WallClock, *, patient: bool = False) -> None:
        self._clock, self._stop = clock, threading.Event()
        self.inbox = Inbox(patient=patient)
        self.started = clock.now()
        self._left = len(sources)
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._read, args=(reading, connect), name=f"read {reading.name}", daemon=True)
            for reading, connect in sources
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.inbox.close()
        for thread in self._threads:
            thread.join(CLOSING_S)

    @property
    def now_s(self) -> float:
        """The second of the stream that it is now, by our clock."""
        return self._clock.now() - self.started

    def _read(self, reading: Reading, connect: Callable[[], Connection]) -> None:
        reader = Reader(reading, connect, self._clock, self._stop, self.started)
        error: BaseException | None = None
        try:
            for item in reader.items():
                self.inbox.put(item)
        except BaseException as caught:  # noqa: BLE001 - raised again by `Inbox.get`
            error = caught
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last or error is not None:
            self.inbox.close(error)
