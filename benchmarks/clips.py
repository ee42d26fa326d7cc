"""The clips of the benchmarks: made here, the same each time, and kept in a work folder.

A clip that is longer than `PATTERN_S` is its first `PATTERN_S` seconds again and again, packet by packet under later
time stamps: to a decoder it is as long as any, and half an hour of it is made in seconds. Key frames come as stated and
at no other place: scene cuts get none, and no group of pictures refers to another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from avgn_edge._base.atomic import whole
from benchmarks.recording import Recording, recorded_sound
from benchmarks.scenery import SOUND_RATE, Scenery, sound

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream

RATE = 30
PATTERN_S = 24
"""A multiple of every key-frame interval, and of the 1,024 samples of a frame of AAC."""
SOUND_BITS = 128_000
HEIGHTS = {360: 640, 720: 1280, 1080: 1920}
"""Widths by height."""
MEGABITS = {"h264": {360: 1.0, 720: 3.0, 1080: 6.0}, "hevc": {360: 0.6, 720: 1.8, 1080: 3.6}}
"""Of video a second, as sites that stream such sizes have it; HEVC needs about 60 % of H.264's."""
HIGH_MEGABITS = 50.0
"""As cameras and editors write."""
LENGTHS = {10: "10s", 120: "2min", 1800: "30min"}
_PRESETS = {"h264": ("libx264", "veryfast"), "hevc": ("libx265", "superfast")}
_THREADS = {"h264": "threads=4:sliced-threads=0", "hevc": "frame-threads=2"}
"""Set, for what an encoder writes depends on them. One slice a frame, as encoders write unless latency matters: asked
through PyAV, x264 cuts it into as many as there are cores, and then slices decode side by side where files' do not."""


@dataclass(frozen=True)
class ClipSpec:
    """One clip to make."""

    seconds: int
    height: int
    codec: str
    """h264 or hevc."""
    key_s: int
    """Seconds from one key frame to the next."""
    megabits: float
    shows_digit: bool = False
    """What the packaged network recognises at the first look, or a scene of which it is never sure."""
    width: int = 0
    """0: the usual one of its height."""
    pattern_s: int = PATTERN_S

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.width or HEIGHTS[self.height], self.height

    @property
    def name(self) -> str:
        """What it is called, and its file but for the suffix."""
        length = LENGTHS.get(self.seconds, f"{self.seconds}s")
        high = "" if self.megabits < HIGH_MEGABITS else f"-{self.megabits:g}mbit"
        return f"{length}-{self.height}p-{self.codec}-{self.key_s}s{high}{'-digit' if self.shows_digit else ''}"


def _usual(seconds: int, height: int, codec: str, key_s: int, *, shows_digit: bool = False) -> ClipSpec:
    return ClipSpec(seconds, height, codec, key_s, MEGABITS[codec][height], shows_digit)


RECOGNISED = (
    _usual(10, 360, "h264", 2, shows_digit=True),
    _usual(120, 720, "h264", 2, shows_digit=True),
    _usual(120, 720, "h264", 8, shows_digit=True),
)
ALL = (
    *(
        _usual(seconds, height, codec, key_s)
        for seconds in LENGTHS
        for height in HEIGHTS
        for codec in MEGABITS
        for key_s in (2, 8)
    ),
    ClipSpec(120, 720, "h264", 8, HIGH_MEGABITS),
    *RECOGNISED,
)
DEFAULT = (
    _usual(10, 360, "h264", 2),
    _usual(10, 720, "h264", 8),
    _usual(120, 360, "h264", 8),
    _usual(120, 720, "h264", 2),
    _usual(120, 720, "h264", 8),
    ClipSpec(120, 720, "h264", 8, HIGH_MEGABITS),
    _usual(120, 720, "hevc", 8),
    _usual(120, 1080, "h264", 8),
    _usual(1800, 720, "h264", 8),
    *RECOGNISED,
)
"""What the claims are about. It leaves out the other combinations: most of HEVC, and half an hour of the rest."""


def made(spec: ClipSpec, folder: Path) -> Path:
    """Return the clip's file in `folder`, made if it is not there; it appears whole under its name, or not at all."""
    path = folder / f"{spec.name}.mp4"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    pattern = path
    if spec.seconds > spec.pattern_s:
        pattern = folder / f"pattern-{spec.name.split('-', 1)[1]}.mp4"
    if not pattern.exists():
        with whole(pattern) as unfinished:
            _encode(spec, min(spec.seconds, spec.pattern_s), unfinished)
    if pattern != path:
        with whole(path) as unfinished:
            _repeat(pattern, spec.pattern_s, spec.seconds // spec.pattern_s, unfinished)
    return path


def _encode(spec: ClipSpec, seconds: int, path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as output:
        encoder, speed = _PRESETS[spec.codec]
        video = output.add_stream(encoder, rate=RATE)
        video.width, video.height = spec.size
        video.pix_fmt = "yuv420p"
        video.codec_context.bit_rate = round(spec.megabits * 1e6)
        every = spec.key_s * RATE
        fixed = f"{_THREADS[spec.codec]}:keyint={every}:min-keyint={every}:scenecut=0:open-gop=0:bframes=3"
        rate = f"vbv-maxrate={round(1500 * spec.megabits)}:vbv-bufsize={round(2000 * spec.megabits)}"
        quiet = ":log-level=error" if spec.codec == "hevc" else ""
        video.options = {"preset": speed, f"{encoder[3:]}-params": f"{fixed}:{rate}{quiet}"}
        if spec.codec == "hevc":
            video.codec_context.codec_tag = "hvc1"
        audio = output.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        audio.bit_rate = SOUND_BITS
        heard = recorded_sound(seconds) if spec.shows_digit else sound(seconds)
        shown = Recording(*spec.size) if spec.shows_digit else Scenery(*spec.size)
        for number, planes in enumerate(shown.frames(seconds * RATE, RATE)):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(video.encode(frame))
            first, last = (at * SOUND_RATE // RATE for at in (number, number + 1))
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(heard[:, first:last]), "fltp", "stereo")
            block.sample_rate, block.pts, block.time_base = SOUND_RATE, first, Fraction(1, SOUND_RATE)
            output.mux(audio.encode(block))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def _repeat(pattern: Path, pattern_s: int, times: int, path: Path) -> None:
    """Write the packets of `pattern`, `times` over, each time `pattern_s` seconds later."""
    with av.open(str(path), "w", format="mp4") as output:
        streams = _like(pattern, output)
        for turn in range(times):
            for packet in _packets(pattern, pattern_s, last=turn == times - 1):
                later = round(turn * pattern_s / packet.time_base)
                packet.pts, packet.dts = (packet.pts or 0) + later, (packet.dts or 0) + later
                packet.stream = streams[packet.stream.index]
                output.mux(packet)


def _like(pattern: Path, output: OutputContainer) -> dict[int, Stream]:
    with av.open(str(pattern)) as source:
        return {stream.index: output.add_stream_from_template(stream) for stream in source.streams}


def _packets(pattern: Path, pattern_s: int, *, last: bool) -> Iterator[Packet[Any]]:
    """Read the packets of one turn; where another follows, without the sound that would reach into it."""
    with av.open(str(pattern)) as source:
        for packet in source.demux():
            if packet.dts is None or packet.pts is None:
                continue
            begins_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            # The encoder's first frame of sound lies before second 0, and so will the next turn's.
            if packet.stream.type == "audio" and not last and begins_s >= pattern_s:
                continue
            yield packet
