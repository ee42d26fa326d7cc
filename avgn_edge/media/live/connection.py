"""An open source: demuxed and decoded as it comes, all tracks together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import av
import av.error

from avgn_edge.errors import ClipError
from avgn_edge.media.faults import as_clip_error, reason
from avgn_edge.media.live.address import OPEN_TIMEOUT_S, READ_TIMEOUT_S, Address
from avgn_edge.media.live.items import Piece
from avgn_edge.media.orientation import MirrorImage
from avgn_edge.media.output_order import OutputOrder
from avgn_edge.media.source import MAX_PIXELS
from avgn_edge.media.streams import best_streams

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream

SKIPS: Final = ("DEFAULT", "NONREF", "NONKEY")
"""What the decoder leaves out, by how much of a hurry there is."""
MOST_DAMAGED: Final = 200
"""Packets in a row that cannot be decoded: what comes is not what was opened."""


class AvConnection:
    """A source opened with FFmpeg."""

    def __init__(self, address: Address) -> None:
        options = {"max_pixels": str(MAX_PIXELS), **address.options}
        protocols = {"protocol_whitelist": address.protocols} if address.protocols else {}
        with as_clip_error(address.name, "check the address, and that nothing else uses it"):
            self._container = av.open(
                address.url,
                format=address.format,
                options=options | protocols,
                metadata_errors="replace",
                timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S) if address.live else None,
            )
            video, sound = best_streams(self._container)
            self._streams: list[Stream] = [stream for stream in (video, sound) if stream is not None]
            self._video: Any = video
            self._mirror = None if video is None else MirrorImage(video)
            self._order = None if video is None else OutputOrder.needed(self._container, video)
            if not self._streams:
                self._container.close()
                raise ClipError(address.name, "there is neither video nor sound in it", "give another source")
            if self._video is not None:
                self._video.thread_type = "SLICE"  # threads across frames would hold frames back
        # An address of known length is a file that lies elsewhere.
        self.ends = not address.live or (address.format is None and (self._container.duration or 0) > 0)

    @property
    def what(self) -> str:
        """Its tracks in words."""
        tracks = []
        if self._video is not None:
            rate = self._video.average_rate
            at = f" at {float(rate):.4g} fps" if rate else ""
            tracks.append(f"{self._video.codec_context.name} {self._video.width}×{self._video.height}{at}")
        for stream in self._streams:
            if stream.type == "audio":
                context: Any = stream.codec_context
                tracks.append(f"{context.name} {context.sample_rate} Hz")
        return ", ".join(tracks)

    def pieces(self) -> Iterator[Piece]:
        """Deliver until the end; OSError and FFmpeg's errors where it is lost."""
        damaged = 0
        packets = self._container.demux(self._streams)
        while True:
            asked = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            waited_s = time.monotonic() - asked
            order = self._order if packet.stream is self._video else None
            if order is not None:
                order.feed(packet, at_start=True)
            try:
                frames: list[Any] = packet.decode()
            except (av.error.InvalidDataError, av.error.PatchWelcomeError, ValueError) as error:
                damaged += 1
                if damaged > MOST_DAMAGED:
                    raise OSError(f"it cannot be decoded ({reason(error)})") from error
                continue
            except av.error.EOFError:
                continue
            damaged = 0
            for frame in frames:
                if order is not None:
                    order.place(frame)
                if self._mirror is not None and isinstance(frame, av.VideoFrame):
                    self._mirror.note(frame)
                yield Piece(frame, frame.time, _lasts(packet, frame), waited_s)

    def set_skip_level(self, level: int) -> None:
        """Decode less: 0 all, 1 no frame that no other needs, 2 key frames only."""
        if self._video is not None:
            self._video.codec_context.skip_frame = SKIPS[level]

    def close(self) -> None:
        """Let go of it."""
        with contextlib.suppress(av.error.FFmpegError):
            self._container.close()


def _lasts(packet: Packet[Any], frame: Any) -> float:  # noqa: ANN401 - a frame of either kind
    if isinstance(frame, av.AudioFrame):
        return frame.samples / frame.sample_rate if frame.sample_rate else 0.0
    base = packet.time_base
    return float(packet.duration * base) if packet.duration and base is not None else 0.0
