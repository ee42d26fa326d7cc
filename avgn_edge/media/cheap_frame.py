"""Finds the frame of a stretch of video that is decoded soonest: from the index, and from packets read, not decoded."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import av.error

from avgn_edge.media.decode_plan import DecodePath, Shown, Span, first_decoded, nearest_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from avgn_edge.media.clock import Clock
    from avgn_edge.media.video_index import VideoIndex

LOOK_BACK_PACKETS: Final = 4
"""A frame is decoded so much before its turn in an order of B-frames, besides the stream's delay."""
LOOK_PACKETS: Final = 300
"""Packets read in search of a frame: more than a group of pictures, where its middle is not indexed."""


class CheapFrame:
    """Looks for cheap frames of one stream and leaves the container anywhere. Times are seconds, as of `clock`.

    An index of MP4 tells when frames are decoded, not when they are shown: packets do. Seeking to sixteen of them and
    reading them took 0.6 ms at 3 Mbit/s, 1.2 at 50; the index is told what they say.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, index: VideoIndex, clock: Clock, frame_ticks: int
    ) -> None:
        self._container = container
        self._stream = stream
        self._index = index
        self._clock = clock
        self._frame_ticks = frame_ticks

    def of(self, span: Span, kilopixels: int) -> float | None:
        """Return when the frame starts, of those that start in `span`, that is decoded soonest.

        The key frame nearest to its centre, else the first to be decoded. None where the frame shown at its centre
        costs no more. A frame has so many thousand pixels.
        """
        found = self._key_frame(span)
        if found is None:
            near: list[Shown] = []
            found = first_decoded(span, _noted(self._packets_from(span.first_s), near))
            self._learn(packet for packet in near if packet.time_s == found)
            return found
        from_earlier = found > span.centre_s and self._index.key(self._clock.ticks(span.centre_s)) is not None
        if from_earlier and self._work(found, kilopixels) > self._work(span.centre_s, kilopixels):
            return None  # few bytes from an earlier key frame are less than the many of this
        return found

    def _work(self, time_s: float, kilopixels: int) -> int:
        way = self._index.way(self._clock.ticks(time_s), self._frame_ticks)
        return (way or DecodePath(1, 0)).work(kilopixels)

    def _learn(self, packets: Iterable[Shown]) -> None:
        if self._index.every_frame or self._index.shown:
            ticks = self._clock.ticks
            self._index.learned.update({ticks(packet.time_s): ticks(packet.decoded_s) for packet in packets})

    def _key_frame(self, span: Span) -> float | None:
        """Return when the key frame of `span` starts that is nearest to its centre."""
        centre = self._clock.ticks(span.centre_s)
        either_side = (self._index.key(centre, backward=backward) for backward in (True, False))
        keys = sorted({key for key in either_side if key is not None}, key=lambda key: abs(key - centre))
        # The index says about when they are shown: one is read before the other if it is nearer by more than that.
        sure = 2 * LOOK_BACK_PACKETS * self._frame_ticks
        alike = [key for key in keys if abs(key - centre) <= abs(keys[0] - centre) + sure]
        for some in (alike, keys[len(alike) :]):
            packets = [packet for packet in map(self._shown, some) if packet is not None]
            found = nearest_key(span, (packet.time_s for packet in packets))
            if found is not None:
                self._learn(packet for packet in packets if packet.time_s == found)
                return found
        return None

    def _shown(self, key: int) -> Shown | None:
        """Return when a key frame is shown: its packet tells where the index says about when only."""
        decoded_s = self._clock.seconds(key - self._index.delay)
        if not self._index.every_frame:
            return Shown(self._clock.seconds(key), decoded_s)
        packets = self._look(key, LOOK_BACK_PACKETS)
        return next((packet for packet in packets if packet.decoded_s == decoded_s), None)

    def _packets_from(self, time_s: float) -> Iterator[Shown]:
        """Read packets in the order of decoding, from before the first whose frame starts at `time_s` or later."""
        return self._look(self._clock.ticks(time_s) - LOOK_BACK_PACKETS * self._frame_ticks, LOOK_PACKETS)

    def _look(self, tick: int, count: int) -> Iterator[Shown]:
        """Read `count` packets from about where what is shown at `tick` is decoded."""
        try:
            self._container.seek(tick, stream=self._stream, any_frame=True)
            for packet in islice(self._container.demux(self._stream), count):
                if packet.pts is not None and not packet.is_discard:
                    stamp = packet.pts if packet.dts is None else min(packet.dts, packet.pts)
                    yield Shown(self._clock.seconds(packet.pts), self._clock.seconds(stamp))
        except av.error.FFmpegError:
            return


def _noted(packets: Iterable[Shown], notes: list[Shown]) -> Iterator[Shown]:
    for packet in packets:
        notes.append(packet)
        yield packet
