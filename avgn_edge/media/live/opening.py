"""From what a user names to sources that can be read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from avgn_edge.media.live.address import Address, address_of, microphone
from avgn_edge.media.live.connection import AvConnection
from avgn_edge.media.live.items import Connection
from avgn_edge.media.live.reader import Reading

Opened = tuple[Reading, Callable[[], Connection]]
REAL_TIME: Final = 1.0


def sources(
    source: str, microphone_name: str | None = None, *, speed: float | None = REAL_TIME, give_up_s: float | None = None
) -> list[Opened]:
    """Return how to read `source`, and with it a microphone; nothing is opened yet.

    `speed` is for what is no live source: so many times real time, None as fast as it is taken. ClipError for names
    that stand for nothing.
    """
    found = [address_of(source)] + ([] if microphone_name is None else [microphone(microphone_name)])
    return [_opened(address, speed, give_up_s) for address in found]


def _opened(address: Address, speed: float | None, give_up_s: float | None) -> Opened:
    reading = Reading(
        address.name,
        live=address.live,
        again=address.again and address.live,
        speed=None if address.live else speed,
        drains=address.drains,
        give_up_s=give_up_s,
    )
    return reading, partial(AvConnection, address)
