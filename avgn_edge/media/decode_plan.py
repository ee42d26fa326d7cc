"""Which frame of a moment's bin is cheapest to decode (AVGN trained on a random one: section 4.1), from times alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from avgn_edge.media.moments import Moment

BYTES_A_KILOPIXEL: Final = 8
"""Bytes that decode as long as a thousand pixels. On one core a frame of 720p H.264 took 0.6 ms and 80 ns a byte, at 3
as at 50 Mbit/s, HEVC the same a byte: bytes foretell the time of a run, frames alone are off by ten times."""
KILOPIXELS_A_PACKET: Final = 50
"""What any packet takes besides, however small its frame: 30 µs."""
FRAMES_A_FRAME: Final = 2
"""Seeking to a frame and converting it takes as long as so many packets without a byte in them."""


class Shown(NamedTuple):
    """A packet: when its frame is shown, and its place in the order of decoding, as a time never later than that."""

    time_s: float
    decoded_s: float


class DecodePath(NamedTuple):
    """What is decoded to reach a frame from a key frame on: frames and bytes, the key frame's and its own included."""

    frames: int
    size: int

    def work(self, kilopixels: int) -> int:
        """Return how long it takes, in thousands of pixels decoded, for frames of so many."""
        return self.frames * (KILOPIXELS_A_PACKET + kilopixels) + self.size // BYTES_A_KILOPIXEL


@dataclass(frozen=True)
class Span:
    """The stretch of a bin in which its moment may lie, in seconds: from `first_s` up to, without it, `end_s`."""

    first_s: float
    centre_s: float
    end_s: float

    @classmethod
    def of(cls, moment: Moment, reach: float) -> Span:
        """The share `reach` of the bin of `moment`, around the bin's centre: 0 is the centre, 1 the whole bin."""
        start_s, end_s = moment.bin_start_s, moment.bin_end_s
        centre_s = (start_s + end_s) / 2
        half_s = reach * (end_s - start_s) / 2
        return cls(max(start_s, centre_s - half_s), centre_s, min(end_s, centre_s + half_s))

    def __contains__(self, time_s: float) -> bool:
        return self.first_s <= time_s < self.end_s


def nearest_key(span: Span, keys_s: Iterable[float]) -> float | None:
    """Return the key frame of the span that is nearest to its centre."""
    return min((time for time in keys_s if time in span), key=lambda time: abs(time - span.centre_s), default=None)


def first_decoded(span: Span, packets: Iterable[Shown]) -> float | None:
    """Return the frame of the span that is decoded first: the shortest run of all that come from the same key frame.

    `packets` are in the order of decoding, from before the span's; no more are taken than tell. None where no frame
    starts in the span, or only ones that are decoded after that which is shown at its centre.
    """
    found: float | None = None
    for packet in packets:
        if found is not None and packet.decoded_s > span.centre_s:
            return None  # what starts in the span starts after its centre, and nothing more can start before
        if packet.time_s in span and (found is None or packet.time_s <= span.centre_s):
            found = packet.time_s if found is None else found
            if packet.time_s <= span.centre_s:
                return found
        if packet.decoded_s >= span.end_s:
            return None
    return None
