"""What a container says: which streams are played, how long they last, the times of packets. Nothing is decoded."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import floor
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeVar

import av.error
from av.stream import Disposition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

    AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)
    from collections.abc import Callable

    import av
    from av.packet import Packet
    from av.stream import Stream


@dataclass(frozen=True)
class Clock:
    """Time of one stream; second 0 of the clip is tick `origin`, a fraction where streams differ in time base."""

    time_base: Fraction
    origin: Fraction = Fraction(0)

    def seconds(self, ticks: int | Fraction) -> float:
        """Return the clip's second at `ticks`."""
        # (ticks - origin) · time_base in whole numbers, exactly: fractions took a third of the time of reading sound.
        origin, base = self.origin, self.time_base
        upper = ticks.numerator * origin.denominator - origin.numerator * ticks.denominator
        return upper * base.numerator / (ticks.denominator * origin.denominator * base.denominator)

    def ticks(self, seconds: float) -> int:
        """Return the last tick at or before `seconds`.

        A millionth of a tick of slack keeps `ticks(seconds(t)) == t` in spite of rounding.
        """
        upper, lower = float(seconds).as_integer_ratio()
        base, origin = self.time_base, self.origin
        upper, lower = upper * base.denominator, lower * base.numerator  # seconds / time_base
        upper, lower = upper * origin.denominator + origin.numerator * lower, lower * origin.denominator
        return (1_000_000 * upper + lower) // (1_000_000 * lower)

    def span(self, seconds: float) -> int:
        """Return how many ticks `seconds` last, at least one."""
        return max(1, floor(Fraction(seconds) / self.time_base))


VIDEO: Final = frozenset(
    (
        *(".3g2", ".3gp", ".asf", ".avi", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
    )
)
AUDIO: Final = frozenset(
    (
        *(".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2"),
        *(".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav", ".wma"),
    )
)
MEDIA: Final = VIDEO | AUDIO


_PICTURE = Disposition.attached_pic | Disposition.timed_thumbnails


def moving_pictures(container: InputContainer) -> list[VideoStream]:
    """Return the streams of video that are no pictures of a cover or a chapter."""
    return [stream for stream in container.streams.video if not stream.disposition & _PICTURE]


def preferred(
    container: InputContainer, kind: Literal["video", "audio"], streams: Sequence[AnyStream]
) -> AnyStream | None:
    """Return the one of `streams`, all of a kind, that players would play; None where there is none."""
    best = container.streams.best(kind)
    for stream in streams:
        if best is not None and stream.index == best.index:
            return stream
    return streams[0] if streams else None


def best_streams(container: InputContainer) -> tuple[VideoStream | None, AudioStream | None]:
    """Return the video and the sound that players would play; a cover is no video."""
    video = preferred(container, "video", moving_pictures(container))
    return video, preferred(container, "audio", container.streams.audio)


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


TIMED_FORMATS: Final = frozenset({"mpegts", "mpeg"})
"""Formats without an index, whose packets say where in time they belong: those of a second recording begin again."""
SAMPLES: Final = 12
"""Places of the file at which a time is read: half a millisecond each."""
HALVINGS: Final = 6
BACK_S: Final = 1.0
"""Times that fall by less are the order of B-frames, or jitter."""
PACKETS: Final = 2_000
"""Packets that are read in search of one with a time."""
_PAGE: Final = b"OggS\0"
_FIRST_PAGE: Final = b"OggS\0\x02"
_BLOCK: Final = 2**20


def times_begin_again(container: InputContainer, number: int, size: int) -> float | None:
    """Return after which share of the file, about, the times of stream `number` begin again; None where they rise.

    `size` is the file's, in bytes. A recording shorter than a `SAMPLES`th of the file may not be noticed. Reads
    anywhere in `container`, which is of one of the `TIMED_FORMATS`.
    """
    latest_s = float("-inf")
    with contextlib.suppress(av.error.FFmpegError):
        for sample in range(SAMPLES):
            time_s = _time_s(container, number, size * sample // SAMPLES)
            if time_s < latest_s - BACK_S:
                before, after = size * (sample - 1) // SAMPLES, size * sample // SAMPLES
                for _ in range(HALVINGS):
                    middle = (before + after) // 2
                    falls = _time_s(container, number, middle) < latest_s - BACK_S
                    before, after = (before, middle) if falls else (middle, after)
                return after / size
            latest_s = max(latest_s, time_s)
    return None


def _time_s(container: InputContainer, number: int, position: int) -> float:
    """Return the time of the first packet of stream `number` from `position` in the file on, inf without one."""
    container.seek(position, unsupported_byte_offset=True)
    for packet in islice(container.demux(), PACKETS):
        if packet.stream.index == number and packet.dts is not None and packet.time_base is not None:
            return float(packet.dts * packet.time_base)
    return float("inf")


def next_link(file: BinaryIO, size: int) -> float | None:
    """Return after which share of an Ogg file, of `size` bytes, a second link of its chain begins; None without one."""
    position = 0
    while (header := _header(file, position))[:6] == _FIRST_PAGE:  # one for each stream of the first link
        position += len(header) + sum(header[27:])
    file.seek(position)
    rest = b""
    while block := file.read(_BLOCK):
        found = (rest + block).find(_FIRST_PAGE)
        if found >= 0:
            return (position - len(rest) + found) / size
        position += len(block)
        rest = block[-len(_FIRST_PAGE) + 1 :]
    return None


def _header(file: BinaryIO, position: int) -> bytes:
    """Return the header of the page at `position`: 27 bytes, and one for the length of each of its segments."""
    file.seek(position)
    fixed = file.read(27)
    return fixed + (file.read(fixed[26]) if fixed.startswith(_PAGE) and len(fixed) == 27 else b"")


# The headers of pictures that nothing before them is needed for, nor shown after them: IDR, by start code and NAL type.
_CLEAN_START: Final = {
    "h264": re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]"),
    "hevc": re.compile(rb"\x00\x00\x01[\x26\x28]"),
}


class OutputOrder:
    """Gives the frames of one stream their times: a decoder delivers in the order of time, one frame a packet.

    What FFmpeg makes up as the packets' pts counts them in the order of decoding, which is off by as many frames as are
    reordered. The packets' dts, taken in the order in which frames come out, are right from a clean start on.
    """

    def __init__(self, codec: str) -> None:
        self._clean_start = _CLEAN_START[codec]
        self._waiting: deque[int] = deque()
        self._clean: deque[int] = deque()
        self._begun = False

    @classmethod
    def needed(cls, container: InputContainer, stream: VideoStream) -> OutputOrder | None:
        """Return what gives `stream` its times; None where the container does, or nobody can."""
        codec = stream.codec_context.name
        return cls(codec) if container.format.name == "avi" and codec in _CLEAN_START else None

    def begin(self) -> None:
        """Forget what was fed: another place of the file follows."""
        self._waiting.clear()
        self._clean.clear()
        self._begun = False

    def feed(self, packet: Packet[Any], *, at_start: bool) -> bool:
        """Note the next packet, before it is decoded; False where decoding cannot begin with it."""
        clean = self._clean_start.search(bytes(packet)) is not None
        self._begun = self._begun or clean or at_start
        if not self._begun or packet.dts is None:
            return self._begun  # without dts: the last of all, which is empty
        packet.pts = packet.dts  # comes out with its frame, and tells which one that is
        self._waiting.append(packet.dts)
        if clean:
            self._clean.append(packet.dts)
        return True

    def place(self, frame: av.VideoFrame) -> None:
        """Give the next frame that came out its time."""
        own = frame.pts
        if own is not None and own in self._clean:
            # Whatever was lost before it, this one is shown when it is decoded.
            while self._clean and self._clean[0] <= own:
                self._clean.popleft()
            while self._waiting and self._waiting[0] < own:
                self._waiting.popleft()
        if self._waiting:
            frame.pts = self._waiting.popleft()
