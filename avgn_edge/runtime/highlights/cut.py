"""Cutting segments out of a video without encoding anything again: from the key frame at or before each start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import av.error

from avgn_edge._base.atomic import whole
from avgn_edge._base.errors import ClipError
from avgn_edge.media.container import Clock, best_streams
from avgn_edge.media.source import CHECK_FILE, Source, as_clip_error
from avgn_edge.runtime.highlights.result import Cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    from avgn_edge.runtime.highlights.long_video import VideoSource
    from avgn_edge.runtime.highlights.result import Highlights, Segment


FIRST_STEP_BACK_S: Final = 1.0
OVER_S: Final = 5.0
"""How much later than the leading stream another may lie in the file; one that ended long ago is not waited for."""
SUFFIXES: Final = {
    "mp4": ".mp4",
    "matroska": ".mkv",
    "mpegts": ".ts",
    "avi": ".avi",
    "mp3": ".mp3",
    "wav": ".wav",
    "flac": ".flac",
    "ogg": ".ogg",
    "flv": ".flv",
    "gif": ".gif",
}
"""By the name of a container's format; what is not among them is written as Matroska, which holds nearly anything."""
KEPT: Final = frozenset({".mp4", ".m4a", ".m4v", ".mov", ".mkv", ".webm", ".mka", ".oga", ".ogg", ".opus"})
"""Suffixes of a source that its cuts keep, where its format is one of those that they stand for."""


def cut_segments(
    told: Highlights, source: VideoSource, folder: Path, progress: Callable[[int], None] | None = None
) -> Highlights:
    """Write a file a segment into `folder`, and return the highlights with what each file holds (`Segment.clip`).

    Video and sound are copied packet by packet; a file begins at the key frame at or before its segment's start, or at
    the packet, and its time stamps begin with 0. ClipError for a video whose streams cannot be written like that.
    """
    opened = Source(source)
    stem = Path(told.video).stem if Path(told.video).suffix else "highlight"
    segments = []
    for segment in told.segments:
        with as_clip_error(opened.name, CHECK_FILE):
            cut = _cut_one(opened, segment, folder, stem)
        segments.append(replace(segment, clip=cut))
        if progress is not None:
            progress(len(segments))
    return replace(told, segments=tuple(segments))


@dataclass
class _Copy:
    """One stream on its way."""

    stream: VideoStream | AudioStream
    target: Stream
    clock: Clock
    done: bool = False


def _cut_one(source: Source, segment: Segment, folder: Path, stem: str) -> Cut:
    """Write one segment's file."""
    target_s = _target(source, segment.start_s)
    with source.container() as container:
        path = folder / f"{stem}-{segment.rank:02d}{_suffix(container, source.name)}"
        with whole(path) as unfinished:
            return Cut(str(path), *_cut(container, unfinished, path.suffix, segment, target_s))


def _target(source: Source, start_s: float) -> float:
    """Return the second to seek to, so that the first key frame from there on is not after `start_s`.

    Seeking lands too late in containers without an index, and where frames are shown long after they are decoded.
    """
    back_s = 0.0
    while back_s < start_s:
        with source.container() as container:
            head = _leading(container, source.name)
            clock = _clock(head, _origin(container, head))
            container.seek(clock.ticks(start_s - back_s), stream=head)
            first = next((packet for packet in container.demux(head) if _timed(packet) and packet.is_keyframe), None)
            if first is not None and clock.seconds(_stamp(first)) <= start_s:
                return start_s - back_s
        back_s = max(FIRST_STEP_BACK_S, 2 * back_s)
    return 0.0


def _cut(container: InputContainer, path: Path, suffix: str, segment: Segment, target_s: float) -> tuple[float, float]:
    """Copy the packets of a stretch, read from `target_s` on; return the seconds that the file begins and ends at."""
    leading = _leading(container, path.name)
    video, audio = best_streams(container)
    origin = _origin(container, leading)
    with av.open(str(path), "w", format=_format(suffix)) as output:
        copies = {
            stream.index: _Copy(stream, output.add_stream_from_template(stream, opaque=True), _clock(stream, origin))
            for stream in (video, audio)
            if stream is not None
        }
        head = copies[leading.index]
        if target_s > 0:  # else from the very start: not every container's first packet can be sought
            container.seek(head.clock.ticks(target_s), stream=leading)
        base_s: float | None = None
        last_s = segment.start_s
        waiting: list[Packet[Stream]] = []
        for packet in container.demux([copy.stream for copy in copies.values()]):
            if not _timed(packet):
                continue
            stamp = _stamp(packet)
            waiting.append(packet)
            if base_s is None:
                if packet.stream.index != leading.index or not packet.is_keyframe:
                    continue
                base_s = head.clock.seconds(stamp)
            for ready in waiting:
                last_s = max(last_s, _put(output, copies[ready.stream.index], ready, base_s, segment.end_s))
            waiting.clear()
            late = packet.stream.index == leading.index and head.clock.seconds(stamp) > segment.end_s + OVER_S
            if late or all(copy.done for copy in copies.values()):
                break
        if base_s is None:
            raise ClipError(path.name, "nothing of the segment can be read", CHECK_FILE)
    return base_s, last_s


def _put(output: OutputContainer, copy: _Copy, packet: Packet[Stream], base_s: float, end_s: float) -> float:
    """Write a packet of the stretch with its times from `base_s` on; return the second at which it ends."""
    stamp = _stamp(packet)
    decoded = stamp if packet.dts is None else packet.dts
    if copy.clock.seconds(decoded) >= end_s:
        copy.done = True
    time_s = copy.clock.seconds(stamp)
    if copy.done or time_s < base_s:  # frames shown before the key frame refer to what is not there
        return base_s
    base = copy.clock.ticks(base_s)
    if packet.pts is not None:
        packet.pts -= base
    if packet.dts is not None:
        packet.dts -= base
    ends_s = copy.clock.seconds(stamp + (packet.duration or 0))
    packet.stream = copy.target
    output.mux(packet)
    return ends_s


def _leading(container: InputContainer, name: str) -> VideoStream | AudioStream:
    """The stream whose key frames decide where a cut begins."""
    video, audio = best_streams(container)
    leading = video or audio
    if leading is None:
        raise ClipError(name, "it has neither video nor sound", CHECK_FILE)
    return leading


def _timed(packet: Packet[Stream]) -> bool:
    return packet.size > 0 and (packet.pts is not None or packet.dts is not None)


def _stamp(packet: Packet[Stream]) -> int:
    return packet.pts if packet.pts is not None else packet.dts or 0


def _origin(container: InputContainer, stream: VideoStream | AudioStream) -> Fraction:
    """The container's time at which the package's second 0 is: where the video starts, or else the file."""
    if stream.type == "video" and stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    return Fraction(container.start_time or 0, 1_000_000)


def _clock(stream: VideoStream | AudioStream, origin: Fraction) -> Clock:
    base = stream.time_base or Fraction(1, 1_000_000)
    return Clock(base, origin / base)


def _suffix(container: InputContainer, name: str) -> str:
    formats = container.format.name.split(",")
    own = Path(name).suffix.lower()
    known = next((SUFFIXES[each] for each in formats if each in SUFFIXES), ".mkv")
    return own if own in KEPT and known in {".mp4", ".mkv", ".ogg"} else known


def _format(suffix: str) -> str:
    """The muxer for a suffix: the unfinished file's name does not tell."""
    return {
        ".m4a": "ipod",
        ".m4v": "mp4",
        ".mkv": "matroska",
        ".mka": "matroska",
        ".ts": "mpegts",
        ".oga": "ogg",
        ".opus": "ogg",
    }.get(suffix, suffix[1:])
