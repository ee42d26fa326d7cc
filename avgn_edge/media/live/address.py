"""What a source's name stands for, and how FFmpeg opens it."""

from __future__ import annotations

import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from avgn_edge.errors import ClipError

OPEN_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 10.0
_ANALYSIS: Final = {"analyzeduration": "2000000"}
"""Microseconds of a source that are looked through for its tracks."""
_PROMPT: Final = {"fflags": "nobuffer", "flags": "low_delay"}
"""For what comes in real time only: what was looked through is thrown away instead of being caught up with."""
_NETWORK: Final = "tcp,udp,rtp,rtsp,rtsps,srtp,tls,http,https,httpproxy,crypto,rtmp,rtmps,srt"
"""No files: a playlist from elsewhere must not read this machine's."""
_SCHEMES: Final = frozenset({"rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt"})
_CAMERAS: Final = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
_MICROPHONES: Final = frozenset({"alsa", "pulse", "avfoundation", "dshow", "oss", "sndio", "jack"})


@dataclass(frozen=True)
class Address:
    """How to open a source."""

    name: str
    """For people: without passwords."""
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    protocols: str = ""
    live: bool = True
    """Whether it is lived through as it comes, and lost rather than over when it ends."""
    again: bool = True
    """Whether it can be opened again."""
    drains: bool = True
    """Whether data come when they come: a file's are always there."""


def address_of(source: str) -> Address:
    """Tell what `source` is: `-`, a url, a camera, or a file. ClipError for what cannot be any."""
    if source == "-":
        return Address("standard input", "pipe:0", protocols="pipe", options=dict(_ANALYSIS), live=False, again=False)
    scheme, separator, _ = source.partition("://")
    if separator:
        return _url(source, scheme.lower())
    if not source:  # which pathlib takes for the folder one is in
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
    """Read a microphone, such as `alsa:default`, `avfoundation:0` or `dshow:NAME`."""
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
        # TCP: lost packets of UDP are seen as smears, and firewalls let it through.
        options |= {"rtsp_transport": "tcp", "max_delay": "500000", "stimeout": str(round(READ_TIMEOUT_S * 1e6))}
    return Address(without_password(source), source, options=options, protocols=_NETWORK)


def without_password(url: str) -> str:
    """The url as it may be shown and logged."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return url.partition("://")[0] + "://…"
    return urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
