"""Opens a clip: finds its video and its sound, and says in one line why it cannot."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias, get_args

from avgn_edge._base.arguments import choice, instance, number, refuse, whole
from avgn_edge._base.errors import ClipError
from avgn_edge._base.processes import usable_cores
from avgn_edge.media.audio import AudioTrack
from avgn_edge.media.container import (
    TIMED_FORMATS,
    moving_pictures,
    next_link,
    preferred,
    stream_at,
    stream_duration_s,
    times_begin_again,
)
from avgn_edge.media.decoder_pool import MOST_DECODERS, DecoderPool
from avgn_edge.media.file_clip import FileClip, Sampling, segment_of
from avgn_edge.media.frame_index import INDEXED_FORMATS
from avgn_edge.media.frames import DEFAULT_GEOMETRY, FrameGeometry
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.moments import DEFAULT_COUNT, Moment, centred_moments, moments_at
from avgn_edge.media.source import (
    AUTO,
    CHECK_FILE,
    LIBRARY_ERRORS,
    MAX_PIXELS,
    SOFTWARE,
    Source,
    as_clip_error,
    chosen_device,
)
from avgn_edge.media.video import VideoTrack
from avgn_edge.media.windows import SoundFileTrack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from avgn_edge.media.clip import Clip

    Times: TypeAlias = Sequence[float] | Callable[[float], Sequence[float]]

DEFAULT_REACH: Final = 1.0
"""How much of its bin a moment of cheap sampling may lie in: 0 the centre, 1 all of it."""
PLAYLISTS: Final = frozenset({"hls", "dash", "concat", "imf"})
PLAIN_AUDIO: Final = frozenset({"wav", "w64", "flac", "ogg", "aiff", "au", "caf"})
"""Formats that libsndfile reads at any sample. MP3 it reads too, but writes complaints about it to stderr."""


def open_clip(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    *,
    count: int = DEFAULT_COUNT,
    sampling: Sampling = "centre",
    geometry: FrameGeometry = DEFAULT_GEOMETRY,
    front_end: FrontEnd = YAMNET,
    start_s: float | None = None,
    end_s: float | None = None,
    times: Times | None = None,
    reach: float = DEFAULT_REACH,
    decoders: int | None = None,
    hwaccel: str = SOFTWARE,
) -> Clip:
    """Open a media file; decode nothing yet.

    Args:
        source: A path, the bytes of a file, or a binary file object, which is read from its beginning.
        count: How many moments the clip has.
        sampling: Where in its bin a moment is: "centre", or "cheap", where a frame is cheapest to decode, as far as the
            container has an index that tells.
        geometry: The size of the frames that networks see.
        front_end: What the sound is made ready for: its rate and how much of it there is around a moment.
        start_s: Where a segment of the file begins, in seconds of the file; None is the file's start. Duration, moments
            and bins are the segment's, its second 0 is `start_s`, and outside it there is silence.
        end_s: Where the segment ends; up to half a second after the file's end is the file's end, and so is None.
        times: The moments themselves instead of `count` and `sampling`: seconds from the clip's start, never falling,
            or a function that returns them for the clip's duration in seconds.
        reach: How far cheap moments may lie from their bins' centres, as a share of half the bin, 0…1.
        decoders: How many cores decode frames that are asked for at once, four at most; None is all usable ones.
        hwaccel: What decodes: "none", a device by FFmpeg's name such as "cuda" or "vaapi", or "auto", the first device
            that works, else none. To find out, a frame is decoded. The clip's `decoder` says which one it is.

    Returns:
        The clip, to be closed: it is a context manager.

    Raises:
        ClipError: It is not a clip, or the segment or times are not inside it.
        DeviceError: The device does not decode it.
        ArgumentError: An option is of a wrong type or out of range.
    """
    choice("sampling", sampling, get_args(Sampling))
    whole("count", count, 1)
    instance("geometry", geometry, FrameGeometry)
    number("reach", reach, 0.0, 1.0)
    if decoders is not None:
        whole("decoders", decoders, 1)
    if times is not None and sampling != "centre":
        refuse("sampling", sampling, "moments at given times are not moved", "leave sampling or times out")
    for name, seconds in (("start_s", start_s), ("end_s", end_s)):
        if seconds is not None and not isinstance(seconds, Real):
            refuse(name, seconds, "it is not a number", "give seconds of the file")
    if not isinstance(hwaccel, str):
        refuse("hwaccel", hwaccel, "it is not text", "give none, auto, or a device's name")
    opened = Source(source)
    with contextlib.ExitStack() as undo:
        parts = _Parts(opened, undo, hwaccel)
        segment = segment_of(opened.name, parts.duration_s, start_s, end_s)
        clip = FileClip(
            opened.name,
            segment,
            _moments(opened.name, segment.duration_s, count, times),
            None
            if parts.video is None
            else DecoderPool(
                parts.video, parts.another_video, geometry, min(decoders or usable_cores(), MOST_DECODERS)
            ),
            parts.sound,
            reach=reach if sampling == "cheap" else 0.0,
            front_end=front_end,
            warnings=parts.warnings,
        )
        undo.pop_all()
    return clip


def _moments(name: str, duration_s: float, count: int, times: Times | None) -> tuple[Moment, ...]:
    if times is None:
        return centred_moments(duration_s, count)
    seconds = times(duration_s) if callable(times) else times
    with as_clip_error(name, "give times inside the clip, never falling"):
        return moments_at(seconds, duration_s)


class _Parts:
    """The tracks of one source; `undo` closes what they have open if opening fails."""

    def __init__(self, source: Source, undo: contextlib.ExitStack, hwaccel: str) -> None:
        self._source = source
        self._undo = undo
        self._hwaccel = hwaccel
        self._reopen: Callable[[], InputContainer] = source.container
        self._device: str | None = None
        self.video: VideoTrack | None = None
        self.sound: AudioTrack | SoundFileTrack | None = None
        self.duration_s = 0.0
        self.warnings: list[str] = []
        with as_clip_error(source.name, CHECK_FILE):
            self._from_container(*self._first_opened())

    def _first_opened(self) -> tuple[InputContainer, bool]:
        """Open the clip, and return whether it had to be probed: most MP4 files say in their headers what is needed."""
        with contextlib.suppress(*LIBRARY_ERRORS):
            container = self._source.container(probe=False)
            if _says_enough(container):
                self._undo.callback(container.close)
                return container, False
            container.close()
        return self._opened(), True

    def _opened(self, *, probe: bool = True) -> InputContainer:
        container = self._source.container(probe=probe)
        self._undo.callback(container.close)
        return container

    def _from_container(self, container: InputContainer, probed: bool) -> None:
        name = self._source.name
        formats = set(container.format.name.split(","))
        if formats & PLAYLISTS:
            raise ClipError(name, "it is a playlist", "give the files it names")
        video, audio = self._video_stream(container), self._audio_stream(container)
        number = None if (first := video or audio) is None else first.index
        if video is not None:
            container = self._take_video(container, video, probed)
        if audio is not None and video is None and formats & PLAIN_AUDIO and self._from_sound_file():
            container.close()
        elif audio is not None:
            probe = not formats & INDEXED_FORMATS
            self._take_audio(container if video is None else self._opened(probe=probe), audio.index, probe=probe)
        if video is None and audio is None:
            reason = self.warnings[0] if self.warnings else "it has neither video nor sound"
            raise ClipError(name, reason, "give a file with a video or an audio track")
        self._check_whole(formats, number)

    def _check_whole(self, formats: set[str], number: int | None) -> None:
        """Warn of a file that is several recordings, one after the other: its header describes only one of them."""
        share = None
        with contextlib.suppress(*LIBRARY_ERRORS):
            if number is not None and formats & TIMED_FORMATS:
                with self._source.container(probe=False) as container:
                    share = times_begin_again(container, number, container.size)
            elif "ogg" in formats:
                with self._source.bytes_of() as file:
                    share = next_link(file, file.seek(0, os.SEEK_END))
        if share is not None:
            self.warnings.append(
                f"another recording begins after some {100 * share:.0f} % of the file, "
                f"and no more than {self.duration_s:.1f} s in all are looked at: give each as a file of its own"
            )

    def another_video(self) -> VideoTrack:
        """Open the video once more, with the same interrupt."""
        first = self.video
        if first is None:
            raise LookupError("no video")
        container = self._reopen()
        stream = stream_at(container.streams.video, first.number)
        return VideoTrack(container, stream, self._reopen, interrupt=first.interrupt, device=self._device)

    def _take_video(self, container: InputContainer, stream: VideoStream, probed: bool) -> InputContainer:
        """Make a track of `stream`, and return the container that is open after that."""
        name = self._source.name
        _check_size(name, stream.width, stream.height)
        number = stream.index
        self._device = chosen_device(self._hwaccel, self._source.container, number, name)
        if self._hwaccel == AUTO and self._device is None:
            self.warnings.append("no device here decodes the video: the CPU does")
        self._reopen = partial(self._source.container, self._device, probe=probed)
        if self._device is not None:
            container.close()
            container = self._reopen()
            self._undo.callback(container.close)
            stream = stream_at(container.streams.video, number)
        self.video = VideoTrack(container, stream, self._reopen, device=self._device)
        self._undo.callback(self.video.close)
        self.duration_s = stream_duration_s(container, stream, self.video.origin_s, self._source.container)
        return container

    def _take_audio(self, container: InputContainer, index: int, *, probe: bool) -> None:
        stream = stream_at(container.streams.audio, index)
        origin_s = Fraction(container.start_time or 0, 1_000_000) if self.video is None else self.video.origin_s
        if self.video is None:
            self.duration_s = stream_duration_s(container, stream, origin_s, self._source.container)
        self.sound = AudioTrack(container, stream, partial(self._source.container, probe=probe), origin_s)
        self._undo.callback(self.sound.close)

    def _from_sound_file(self) -> bool:
        """Read the clip with libsndfile; return whether that works."""
        with contextlib.suppress(*LIBRARY_ERRORS, ImportError):
            sound = self._source.sound()
            self._undo.callback(sound.close)
            if sound.seekable() and 0 < sound.frames < 2**40 and sound.samplerate > 0:
                self.sound = SoundFileTrack(sound)
                self.duration_s = self.sound.duration_s
                return True
            sound.close()
        return False

    def _video_stream(self, container: InputContainer) -> VideoStream | None:
        streams = moving_pictures(container)
        known = [stream for stream in streams if _decodable(stream) and stream.width > 0 and stream.height > 0]
        if streams and not known:
            self._check_header()
            self.warnings.append(
                "the video cannot be decoded: its codec is unknown, its header damaged, or its frames too large"
            )
        return preferred(container, "video", known)

    def _check_header(self) -> None:
        """Refuse a video that is too large by its header: probing forgets sizes that it may not decode."""
        sizes: list[tuple[int, int]] = []
        with contextlib.suppress(*LIBRARY_ERRORS), self._source.container(probe=False) as container:
            sizes = [(stream.width, stream.height) for stream in moving_pictures(container) if _decodable(stream)]
        for width, height in sizes:
            _check_size(self._source.name, width, height)

    def _audio_stream(self, container: InputContainer) -> AudioStream | None:
        known = [stream for stream in container.streams.audio if _decodable(stream)]
        if container.streams.audio and not known:
            self.warnings.append("the sound cannot be decoded: its codec is unknown")
        return preferred(container, "audio", known)


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        why = f"its frames of {width}×{height} are larger than is sane"
        raise ClipError(name, why, f"scale it down to {MAX_PIXELS // 10**6} megapixels, or check the file")


def _says_enough(container: InputContainer) -> bool:
    """Return whether an unprobed container says all that probing would: a stream of each kind, with its size or rate.

    Among several streams, probing finds the best; and in formats other than MP4 it finds the times.
    """
    video, audio = container.streams.video, container.streams.audio
    return (
        "mp4" in container.format.name.split(",")
        and len(container.streams) == len(video) + len(audio)
        and len(video) == 1
        and len(audio) <= 1
        and all(_decodable(stream) and stream.width > 0 and stream.height > 0 for stream in video)
        and all(_decodable(stream) for stream in audio)
    )


def _decodable(stream: VideoStream | AudioStream) -> bool:
    return stream.codec_context is not None
