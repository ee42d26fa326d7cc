"""A live source: what it delivers, what its name stands for, and how FFmpeg opens and decodes it."""

from __future__ import annotations

import contextlib
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import av
import av.error

from avgn_edge._base.errors import ClipError
from avgn_edge.media.container import OutputOrder, best_streams
from avgn_edge.media.frames import MirrorImage
from avgn_edge.media.source import MAX_PIXELS, as_clip_error, reason

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet
    from av.stream import Stream


OPEN_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 10.0
_ANALYSIS: Final = {"analyzeduration": "2000000"}
"""FFmpeg reads two seconds, in microseconds, to find a source's tracks."""
_PROMPT: Final = {"fflags": "nobuffer", "flags": "low_delay"}
"""For real-time sources only: FFmpeg drops what it read to find the tracks, instead of catching up with it."""
_NETWORK: Final = "tcp,udp,rtp,rtsp,rtsps,srtp,tls,http,https,httpproxy,crypto,rtmp,rtmps,srt"
"""No files: a playlist from the network must not read this machine's files."""
_SCHEMES: Final = frozenset({"rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt"})
_CAMERAS: Final = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_MICROPHONES: Final = frozenset({"alsa", "pulse", "avfoundation", "dshow", "oss", "sndio", "jack"})
SKIPS: Final = ("DEFAULT", "NONREF", "NONKEY")
"""FFmpeg's `skip_frame` by skip level."""
MOST_DAMAGED: Final = 200
"""After so many packets in a row that cannot be decoded, the connection counts as lost."""


@dataclass(frozen=True)
class Picture:
    """A decoded frame, shown at second `time_s` of the stream."""

    frame: av.VideoFrame
    time_s: float


@dataclass(frozen=True)
class Sound:
    """A piece of decoded sound whose first sample is at second `time_s` of the stream."""

    frame: AudioFrame
    time_s: float


State = Literal["connected", "lost", "reconnecting", "behind", "ended"]


@dataclass(frozen=True)
class Status:
    """A change in the state of a source."""

    status: State
    text: str
    """What happened, for a person."""
    source: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


Item = Picture | Sound | Status


@dataclass(frozen=True)
class Piece:
    """A decoded frame or piece of sound, as a connection delivers it."""

    frame: av.VideoFrame | AudioFrame
    time_s: float | None
    """The source's own time; None where it has none."""
    lasts_s: float = 0.0
    waited_s: float = 0.0
    """How long we waited for the source: next to nothing where there is a backlog."""


@dataclass(frozen=True)
class Address:
    """How FFmpeg opens a source."""

    name: str
    """For messages: without passwords."""
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    protocols: str = ""
    live: bool = True
    """Whether it comes in real time, and is lost rather than over when it ends."""
    again: bool = True
    """Whether it can be opened again."""
    drains: bool = True
    """Whether we may have to wait for data: those of a file are always there."""


def address_of(source: str) -> Address:
    """Return how to open a source.

    Args:
        source: `-` for standard input, a url, a camera, or a file.

    Raises:
        ClipError: The source is none of these, or there is no such file.
    """
    if source == "-":
        return Address("standard input", "pipe:0", protocols="pipe", options=dict(_ANALYSIS), live=False, again=False)
    scheme, separator, _ = source.partition("://")
    if separator:
        return _url(source, scheme.lower())
    if not source:  # pathlib takes it for the current folder
        raise ClipError("a source", "its name is empty", "give a file, a camera, an address or -")
    path = Path(source)
    if sys.platform == "win32" and source.startswith("video="):
        return Address(source, source, "dshow", {"rtbufsize": "64M"})
    if sys.platform == "darwin" and (source.startswith("camera:") or source.isdigit()):
        return Address(source, f"{source.removeprefix('camera:')}:none", "avfoundation", {"framerate": "30"})
    if not path.exists():
        camera = {"darwin": "camera:0", "win32": "video=NAME"}.get(sys.platform, "/dev/video0")
        raise ClipError(source, "there is no such file", f"give a file, a camera such as {camera}, an address or -")
    if stat.S_ISCHR(path.stat().st_mode):
        return Address(source, source, _CAMERAS.get(sys.platform, "v4l2"), dict(_PROMPT))
    if path.is_dir():
        raise ClipError(source, "it is a folder", "give one file, or use `avgn-edge classify`")
    regular = stat.S_ISREG(path.stat().st_mode)
    return Address(source, f"file:{source}", protocols="file", live=False, again=regular, drains=not regular)


def microphone(text: str) -> Address:
    """Return how to open a microphone, such as `alsa:default`, `avfoundation:0` or `dshow:NAME`."""
    kind, separator, device = text.partition(":")
    if not separator or kind not in _MICROPHONES or not device:
        raise ClipError(f"microphone {text!r}", "it is not KIND:DEVICE", "write it as alsa:default or avfoundation:0")
    url = {"avfoundation": f":{device}", "dshow": f"audio={device}"}.get(kind, device)
    return Address(f"microphone {text}", url, kind, {"fflags": "nobuffer"})


def _url(source: str, scheme: str) -> Address:
    if scheme not in _SCHEMES:
        raise ClipError(without_password(source), f"{scheme} is no protocol for streams", "give rtsp, http or a file")
    options = dict(_ANALYSIS)
    if scheme in {"rtsp", "rtsps", "rtp", "udp"}:
        options |= _PROMPT
    if scheme in {"rtsp", "rtsps"}:
        # TCP, because packets lost with UDP show as smears, and because firewalls let it through.
        options |= {"rtsp_transport": "tcp", "max_delay": "500000", "stimeout": str(round(READ_TIMEOUT_S * 1e6))}
    return Address(without_password(source), source, options=options, protocols=_NETWORK)


def without_password(url: str) -> str:
    """Return the url as it may be shown and logged: without user, password and query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return url.partition("://")[0] + "://…"
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))


class Connection:
    """A source that is open in FFmpeg; whatever it raises while it is read means that it is lost.

    Raises ClipError where the source cannot be opened, or has neither video nor sound.
    """

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
        # What has a length is a file on another machine.
        self.ends: Final = not address.live or (address.format is None and (self._container.duration or 0) > 0)
        """Whether it is over when its data end, as a file is; a live source whose data end has been lost."""

    @property
    def what(self) -> str:
        """A description of its tracks, such as "h264 640×480 at 25 fps, aac 44100 Hz"."""
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
        """Read and decode until the end. Raises OSError or FFmpeg's errors where the source is lost."""
        damaged = 0
        packets = self._container.demux(self._streams)
        while True:
            started = time.monotonic()
            packet = next(packets, None)
            if packet is None:
                return
            waited_s = time.monotonic() - started
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
        """Set what is decoded: 0 every frame, 1 only frames that others need, 2 key frames only."""
        if self._video is not None:
            self._video.codec_context.skip_frame = SKIPS[level]

    def close(self) -> None:
        """Close the source."""
        with contextlib.suppress(av.error.FFmpegError):
            self._container.close()


def _lasts(packet: Packet[Any], frame: av.VideoFrame | AudioFrame) -> float:
    if isinstance(frame, av.AudioFrame):
        return frame.samples / frame.sample_rate if frame.sample_rate else 0.0
    base = packet.time_base
    return float(packet.duration * base) if packet.duration and base is not None else 0.0
