"""How long a stream lasts: from the container's header, else from its packets, never by decoding."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av.error

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

HEADERLESS_FORMATS: Final = frozenset({"aac", "ac3", "eac3", "dts", "h264", "hevc", "mpegvideo", "m4v", "vvc", "obu"})
"""Raw streams: what FFmpeg gives as their duration is guessed from the bit rate."""
LONGEST_S: Final = 1_000 * 3_600.0
"""A header that claims more than this is not believed."""


def stream_duration_s(
    container: InputContainer,
    stream: VideoStream | AudioStream,
    origin_s: Fraction,
    reopen: Callable[[], InputContainer],
) -> float:
    """Return how long `stream` lasts, in seconds from `origin_s`. `container` stays where it is.

    `reopen` gives the same container again, to be read to its end where its header does not tell.
    """
    seconds = None
    if not HEADERLESS_FORMATS & set(container.format.name.split(",")):
        seconds = _from_header(container, stream, origin_s)
    if seconds is None or not 0 < seconds <= LONGEST_S:
        with reopen() as whole:
            seconds = _from_packets(whole, whole.streams[stream.index], origin_s)
    return seconds


def _from_header(container: InputContainer, stream: VideoStream | AudioStream, origin_s: Fraction) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        start_s = origin_s if stream.start_time is None else stream.start_time * stream.time_base
        return float(stream.duration * stream.time_base + start_s - origin_s)
    whole_s = None
    if container.duration is not None:
        whole_s = float(Fraction(container.duration + (container.start_time or 0), 1_000_000) - origin_s)
    tagged_s = _from_tag(stream.metadata.get("DURATION", ""))
    if tagged_s is not None and (whole_s is None or tagged_s <= whole_s + 1):
        return tagged_s - float(origin_s)
    return whole_s


def _from_tag(text: str) -> float | None:
    """Read Matroska's "00:01:02.500000000": where a track ends, which may be earlier than the whole file does."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3_600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _from_packets(container: InputContainer, stream: Stream, origin_s: Fraction) -> float:
    """Read every packet: the latest end, or their number over the frame rate where they carry no times."""
    time_base = stream.time_base or Fraction(1, 1_000_000)
    last_tick: int | None = None
    packets = 0
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(stream):
            packets += packet.size > 0
            if packet.pts is not None:
                end = packet.pts + (packet.duration or 0)
                last_tick = end if last_tick is None else max(last_tick, end)
    if last_tick is not None:
        return max(0.0, float(last_tick * time_base - origin_s))
    rate = getattr(stream, "guessed_rate", None) or getattr(stream, "average_rate", None) or Fraction(25)
    return float(packets / rate)
