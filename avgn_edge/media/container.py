"""What a container says without decoding: which streams are played, how long they last, the times of packets."""

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
    from collections.abc import Callable, Iterable, Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)


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
HEADERLESS_FORMATS: Final = frozenset({"aac", "ac3", "eac3", "dts", "h264", "hevc", "mpegvideo", "m4v", "vvc", "obu"})
"""Raw streams, whose duration FFmpeg guesses from the bit rate."""
LONGEST_S: Final = 1_000 * 3_600.0
"""Longer durations in headers are not believed."""
TIMED_FORMATS: Final = frozenset({"mpegts", "mpeg"})
"""Formats without an index, whose packets carry times, which begin again with a second recording."""
SAMPLES: Final = 12
"""At how many places of the file a time is read: half a millisecond each."""
HALVINGS: Final = 6
BACK_S: Final = 1.0
"""Times that fall by less than this are the order of B-frames, or jitter."""
PACKETS: Final = 2_000
"""How many packets are read in search of one with a time."""
_PAGE: Final = b"OggS\0"
_FIRST_PAGE: Final = b"OggS\0\x02"
_BLOCK: Final = 2**20
# The headers of IDR pictures, by start code and NAL type: no frame before them is needed or shown later.
_CLEAN_START: Final = {
    "h264": re.compile(rb"\x00\x00\x01[\x05\x25\x45\x65]"),
    "hevc": re.compile(rb"\x00\x00\x01[\x26\x28]"),
}


@dataclass(frozen=True)
class Clock:
    """Converts between ticks of a stream and seconds of the clip.

    Second 0 is tick `origin`: a fraction where the stream that begins the clip has another time base.
    """

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
        """Return how many ticks `seconds` last: at least one."""
        return max(1, floor(Fraction(seconds) / self.time_base))


def moving_pictures(container: InputContainer) -> list[VideoStream]:
    """Return the streams of video, without pictures of covers and chapters."""
    return [stream for stream in container.streams.video if not stream.disposition & _PICTURE]


def stream_at(streams: Iterable[AnyStream], index: int) -> AnyStream:
    """Return the one of `streams` with this index in its container."""
    return next(stream for stream in streams if stream.index == index)


def preferred(
    container: InputContainer, kind: Literal["video", "audio"], streams: Sequence[AnyStream]
) -> AnyStream | None:
    """Return the one of `streams`, all of one kind, that players would play; None where there is none."""
    best = container.streams.best(kind)
    for stream in streams:
        if best is not None and stream.index == best.index:
            return stream
    return streams[0] if streams else None


def best_streams(container: InputContainer) -> tuple[VideoStream | None, AudioStream | None]:
    """Return the video and the sound that players would play, each None where there is none."""
    video = preferred(container, "video", moving_pictures(container))
    return video, preferred(container, "audio", container.streams.audio)


def stream_duration_s(
    container: InputContainer,
    stream: VideoStream | AudioStream,
    origin_s: Fraction,
    reopen: Callable[[], InputContainer],
) -> float:
    """Return how long a stream lasts, in seconds from `origin_s`.

    Args:
        container: Where the stream is; its position does not change.
        stream: The stream.
        origin_s: Where the clip begins, in the container's time.
        reopen: Opens the container again, to read it to its end where its header does not tell.
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
    """Read Matroska's "00:01:02.500000000", where a track ends, possibly earlier than the whole file."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3_600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _from_packets(container: InputContainer, stream: Stream, origin_s: Fraction) -> float:
    """Return the latest end of all packets, or their number over the frame rate where they carry no times."""
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


def times_begin_again(container: InputContainer, number: int, size: int) -> float | None:
    """Return after about which share of a file its times begin again; None where they rise.

    A recording shorter than a `SAMPLES`th of the file may not be noticed.

    Args:
        container: The file, in one of the `TIMED_FORMATS`; its position is anywhere afterwards.
        number: The index of the stream whose times are read.
        size: The file's size in bytes.
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
    """Return after which share of an Ogg file of `size` bytes a second link of its chain begins; None without one."""
    position = 0
    while (header := _page_header(file, position))[:6] == _FIRST_PAGE:  # one for each stream of the first link
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


def _page_header(file: BinaryIO, position: int) -> bytes:
    """Return the header of the page at `position`: 27 bytes, and the lengths of its segments, a byte each."""
    file.seek(position)
    fixed = file.read(27)
    return fixed + (file.read(fixed[26]) if fixed.startswith(_PAGE) and len(fixed) == 27 else b"")


class OutputOrder:
    """Gives the frames of H.264 and HEVC in AVI their times, which that container does not have.

    FFmpeg makes up a pts that counts packets in the order of decoding, which is wrong where frames are reordered. A
    decoder delivers frames in the order of time, one for each packet, so that the packets' dts, given to the frames in
    that order, are right from the first IDR picture on.
    """

    def __init__(self, codec: str) -> None:
        self._clean_start = _CLEAN_START[codec]
        self._waiting: deque[int] = deque()
        self._clean: deque[int] = deque()
        self._begun = False

    @classmethod
    def needed(cls, container: InputContainer, stream: VideoStream) -> OutputOrder | None:
        """Return an `OutputOrder` for `stream`; None where the container has times, or the codec is another."""
        codec = stream.codec_context.name
        return cls(codec) if container.format.name == "avi" and codec in _CLEAN_START else None

    def begin(self) -> None:
        """Forget all packets, because another place of the file follows."""
        self._waiting.clear()
        self._clean.clear()
        self._begun = False

    def feed(self, packet: Packet[Any], *, at_start: bool) -> bool:
        """Note the next packet before it is decoded; return False where decoding cannot begin with it."""
        clean = self._clean_start.search(bytes(packet)) is not None
        self._begun = self._begun or clean or at_start
        if not self._begun or packet.dts is None:
            return self._begun  # the last packet, which is empty, has no dts
        packet.pts = packet.dts  # the decoder hands it on to the packet's frame
        self._waiting.append(packet.dts)
        if clean:
            self._clean.append(packet.dts)
        return True

    def place(self, frame: av.VideoFrame) -> None:
        """Set the time of the next frame that the decoder has delivered."""
        own = frame.pts
        if own is not None and own in self._clean:
            # An IDR picture is shown when it is decoded, even if frames before it were lost.
            while self._clean and self._clean[0] <= own:
                self._clean.popleft()
            while self._waiting and self._waiting[0] < own:
                self._waiting.popleft()
        if self._waiting:
            frame.pts = self._waiting.popleft()
