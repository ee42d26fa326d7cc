"""Decodes the sound of any container around a clip's moments (AVGN's a_t, section 3.1)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av.error
import av.stream

from avgn_edge.media.container import Clock, stream_at
from avgn_edge.media.resample import Resampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

    from avgn_edge.media.windows import WindowBuffer

PREROLL_S: Final = 0.5
"""How much is decoded and thrown away before a window: MP3 and Opus need the sound before to sound right."""
SEEK_S: Final = 5.0
"""Read on rather than seek across less than this, where there is no index."""
INDEXED_SEEK_S: Final = 1.0
"""The same with an index or with limited time: reading a second of AAC takes 0.4 ms, seeking in an index 0.2 ms."""
RUN_IN_S: Final = 0.05
"""How much is resampled before a window: more than the filter reaches back."""
TOGETHER_S: Final = 1.0
"""How much is resampled at once: about a window."""
GAP_S: Final = 0.02
"""A time stamp that differs more than this from the number of samples so far is a gap; less is rounding."""


class AudioTrack:
    """One audio stream, read once, forwards.

    Args:
        container: The open container.
        stream: The stream in it.
        reopen: Opens the same container again, at its start.
        origin_s: The container's time at second 0 of the clip.
    """

    def __init__(
        self, container: InputContainer, stream: AudioStream, reopen: Callable[[], InputContainer], origin_s: Fraction
    ) -> None:
        self._container = container
        self._stream = stream
        self._index = stream.index
        self._reopen = reopen
        time_base = stream.time_base or Fraction(1, 1_000_000)
        self._clock = Clock(time_base, origin_s / time_base)
        self._origin_s = float(origin_s)
        self._tick_s = float(time_base)
        self._rate = 0  # of the windows that are filled
        self._indexed = len(stream.index_entries) > 0
        self._may_seek = True
        self.damaged = 0
        """How many packets could not be decoded."""
        self.decoded = 0
        """How many frames of sound were decoded."""
        _ignore_other_streams(container, stream)

    def fill(self, windows: WindowBuffer) -> None:
        """Write the sound around every moment into `windows`, until they want no more.

        Raises FFmpeg's errors only where nothing can be read.
        """
        run = _Run(windows, self._origin_s)
        self._rate = windows.rate
        seek_s = INDEXED_SEEK_S if self._indexed or not windows.patient else SEEK_S
        packets = self._packets(0)
        landing: tuple[int, int] | None = None  # a seek must land after the first position, not after the second
        while (packet := next(packets, None)) is not None:
            position = self._position(packet)
            if not windows.go_on(run.position if position is None else position):
                break
            if position is not None:
                if landing is not None and not landing[0] < position <= landing[1]:
                    self._may_seek = False
                    if position > landing[1]:
                        packets, landing = self._packets(None), None
                        continue
                landing = None
                end = position + self._length(packet)
                needed = windows.next_needed(end)
                if needed is None and windows.next_needed(position) is None:
                    break
                start = windows.next_needed(position)
                if start is not None and end + PREROLL_S * self._rate < start:
                    run.end()
                    if self._may_seek and start - end > seek_s * self._rate:
                        target = start - round(PREROLL_S * self._rate)
                        packets, landing = self._packets(target), (position, target)
                    continue
            self._decode(packet, run)
        run.end(last=True)

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def _decode(self, packet: Packet[AudioStream], run: _Run) -> None:
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
            return
        for frame in frames:
            self.decoded += 1
            run.add(frame)

    def _packets(self, target: int | None) -> Iterator[Packet[AudioStream]]:
        """Read packets from `target` (samples of the windows) on, or from the start of the file (None)."""
        if target is None:
            self._container.close()
            self._container = self._reopen()
            self._stream = stream_at(self._container.streams.audio, self._index)
            _ignore_other_streams(self._container, self._stream)
        elif target > 0:
            try:
                self._container.seek(self._clock.ticks(target / self._rate), stream=self._stream)
            except av.error.FFmpegError:
                self._may_seek = False
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                self.damaged += 1  # the file ends in the middle of something
                return
            if packet is None:
                return
            yield packet

    def _position(self, packet: Packet[AudioStream]) -> int | None:
        if packet.pts is None:
            return None
        return round(packet.pts * (self._tick_s * self._rate) - self._origin_s * self._rate)

    def _length(self, packet: Packet[AudioStream]) -> int:
        """Return how many samples of the windows `packet` has; if unknown two seconds, more than any codec packs."""
        ticks = packet.duration or 0
        return round(ticks * (self._tick_s * self._rate)) if ticks > 0 else 2 * self._rate


class _Run:
    """Resamples sound that is continuous and near a window, and leaves gaps in the time stamps empty."""

    def __init__(self, windows: WindowBuffer, origin_s: float) -> None:
        self._windows = windows
        self._origin_s = origin_s
        self._resampler: Resampler | None = None
        self._running = False
        self._kind: tuple[str, str, int] | None = None
        self._due_s = 0.0
        self.position = 0
        """Up to where was written, in samples of the windows."""

    def add(self, frame: AudioFrame) -> None:
        """Write `frame` where its time stamp says, or right after the one before."""
        if frame.samples < 1 or frame.sample_rate < 1:
            return
        # A frame counts in its own time base, which need not be its stream's; `time` is in seconds.
        time_s = self._due_s if frame.time is None else frame.time - self._origin_s
        length_s = frame.samples / frame.sample_rate
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if not self._running or kind != self._kind or abs(time_s - self._due_s) > GAP_S:
            self.end()
            self._due_s, self.position = time_s, round(time_s * self._windows.rate)
            self._running = self._is_wanted(length_s)
            if self._running and (self._resampler is None or kind != self._kind):
                self._resampler, self._kind = Resampler(self._windows.rate, TOGETHER_S), kind
        self._due_s += length_s
        if self._resampler is None or not self._running:
            return
        ready = self._resampler.push(frame)
        if len(ready):
            self._windows.write(self.position, ready)
            self.position += len(ready)

    def end(self, *, last: bool = False) -> None:
        """Write the rest of the resampler's samples; the next frame, if this was not the last, begins a new run."""
        if self._resampler is not None and self._running:
            self._windows.write(self.position, self._resampler.end() if last else self._resampler.pause())
        self._running = False

    def _is_wanted(self, length_s: float) -> bool:
        """Return whether a window needs the next `length_s`, or begins so soon after it that the filter needs it."""
        start = self._windows.next_needed(self.position)
        return start is None or start <= self.position + (length_s + RUN_IN_S) * self._windows.rate


def _ignore_other_streams(container: InputContainer, wanted: AudioStream) -> None:
    """Let the demuxer skip the other streams, where it can, without reading them."""
    discard = getattr(av.stream, "Discard", None)  # not in every PyAV that we run with
    if discard is not None:
        for stream in container.streams:
            if stream.index != wanted.index:
                stream.discard = discard.all
