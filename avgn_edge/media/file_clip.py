"""A clip that is read from a file, or from part of one, as it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

from avgn_edge._base.errors import ClipError
from avgn_edge.media.clip import Clip, SoundLimit, not_heard
from avgn_edge.media.frames import FrameConverter, FrameGeometry
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.prefetch import Prefetcher
from avgn_edge.media.source import CHECK_FILE, as_clip_error
from avgn_edge.media.windows import WindowBuffer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.media.audio import AudioTrack
    from avgn_edge.media.decoder_pool import DecoderPool
    from avgn_edge.media.moments import Moment
    from avgn_edge.media.windows import SoundFileTrack

    SoundTrack: TypeAlias = AudioTrack | SoundFileTrack

Frame = TypeVar("Frame")

SLACK_S: Final = 0.5
"""How much after its file a segment may end: tables of segments are rounded, or made from another encoding."""
Sampling = Literal["cheap", "centre"]
EARLY_END_S: Final = 0.5
"""A video that ends so much before a moment is worth a warning."""
ENDS_EARLY: Final = "the video ends at"
"""How that warning begins."""


@dataclass(frozen=True)
class Segment:
    """A part of a file, in seconds of the file.

    Sound outside `sound_s` is left out. None is no limit, so that a whole file keeps its sound before and after its
    video.
    """

    start_s: float
    duration_s: float
    sound_s: tuple[float | None, float | None] = (None, None)


def segment_of(name: str, file_s: float, start_s: float | None, end_s: float | None) -> Segment:
    """Return the segment `start_s` … `end_s` of a file.

    Args:
        name: The file, for errors.
        file_s: How long the file lasts.
        start_s: None is the file's start.
        end_s: None is the file's end, and so is an end that is just after it.

    Raises:
        ClipError: The segment is empty or not in the file.
    """
    if start_s is None and end_s is None:
        return Segment(0.0, file_s)
    first_s, last_s = start_s or 0.0, file_s if end_s is None else end_s
    cut = f"{first_s:g} s to {'its end' if end_s is None else f'{last_s:g} s'}"
    if not (isfinite(first_s) and isfinite(last_s) and first_s >= 0 and (end_s is None or first_s < end_s)):
        raise ClipError(name, f"{cut} is no segment", "give seconds, the start before the end")
    if first_s >= file_s > 0 or first_s > file_s or last_s > file_s + SLACK_S:
        raise ClipError(name, f"{cut} is not inside its {file_s:.3f} s", "give a segment inside the file")
    return Segment(first_s, min(last_s, file_s) - first_s, (start_s, end_s))


class FileClip(Clip):
    """A `Clip` of decoded tracks, made by `open_clip`.

    Its sound and its video share nothing: frames may decode in the background while the sound is read.
    """

    def __init__(
        self,
        name: str,
        segment: Segment,
        moments: tuple[Moment, ...],
        video: DecoderPool | None,
        sound: SoundTrack | None,
        *,
        reach: float,
        front_end: FrontEnd = YAMNET,
        warnings: Iterable[str] = (),
    ) -> None:
        self.name, self.duration_s = name, segment.duration_s
        self.has_video, self.has_audio = video is not None, sound is not None
        if reach > 0 and video is not None:
            start_s = segment.start_s
            moments = tuple(moment.at(video.cheaper(moment.later(start_s), reach) - start_s) for moment in moments)
        self.moments = moments
        self._segment = segment
        self._video = None if video is None else Prefetcher(video)
        self._sound = sound
        self._front_end = front_end
        self._warnings = list(warnings)
        self._frame_warnings: list[str] = []  # apart, so that they come last whenever they are found
        self._windows: tuple[NDArray[np.float32], NDArray[np.bool_]] | None = None
        self._likely: tuple[int, ...] = ()
        self._closed = False
        if video is not None:
            video.expect(map(self._file_s, range(len(moments))))
        if sound is None:
            self._warnings.append("no audio track")

    @property
    def conversions(self) -> int:
        """How many frames have been converted to RGB."""
        return 0 if self._video is None else self._video.pool.conversions

    @property
    def decoded(self) -> int:
        """How many frames decoders gave, wanted or on the way to one."""
        return 0 if self._video is None else self._video.pool.decoded

    @property
    def decoder(self) -> str | None:
        """What decodes the video: the codec, and in brackets the device if one does, "h264 (cuda)"."""
        return None if self._video is None else self._video.pool.first.decoder

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the frames turned upright; decodes one frame if none was decoded before."""
        if self._video is None:
            return None
        self._video.wait()
        pool = self._video.pool
        if pool.display_size is None:
            self._check_open()
            with as_clip_error(self.name, CHECK_FILE):
                pool.first.frame_at(self._file_s(0))
        return pool.display_size

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found wrong with the clip so far."""
        found = [*self._warnings, *self._frame_warnings]
        if self._video is not None:
            if self._video.pool.damaged:
                found.append(f"{self._video.pool.damaged} damaged packets of video were skipped")
            if self._video.pool.concealed:
                found.append(f"{self._video.pool.concealed} damaged frames were concealed")
        if self._sound is not None and self._sound.damaged:
            found.append(f"{self._sound.damaged} damaged packets of sound were skipped")
        return tuple(found)

    def windows(self, limit: SoundLimit | None = None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the sound around the moments (float32 [moments, samples]) and whether there is any (bool [moments]).

        It is read once: what the limit of the first call left out stays out, and a warning says so.
        """
        if self._windows is None:
            times_s = map(self._file_s, range(len(self.moments)))
            buffer = WindowBuffer(times_s, self._segment.sound_s, limit, self._front_end)
            if self._sound is not None:
                self._check_open()
                with as_clip_error(self.name, CHECK_FILE):
                    self._sound.fill(buffer)
                self._check_sound(self._sound)
                if buffer.unread:
                    self._warnings.append(not_heard(len(buffer.unread), len(self.moments)))
            self._windows = buffer.finish()
        return self._windows

    def work(self, indices: Sequence[int]) -> int:
        """Return about how much there is to decode for the frames of these moments, in order of time.

        By one decoder, in the time that a thousand pixels take: what lies on the way from where the decoder is, or
        from a key frame, its bytes, and something for each frame that is wanted. 0 without video.
        """
        return 0 if self._video is None else self._video.work(sorted(map(self._file_s, indices)))

    def prefetch(self, indices: Sequence[int]) -> None:
        """Begin to decode the frames of these moments in the background: see `Clip.prefetch`."""
        if self._video is not None and not self._closed:
            self._video.start(sorted(map(self._file_s, indices)))

    @property
    def prefetched_s(self) -> float:
        """Seconds of decoding in the background."""
        return 0.0 if self._video is None else self._video.seconds

    def stop_prefetch(self) -> None:
        """Stop decoding in the background, before the next packet, and drop the frames that `prefetch` brought."""
        if self._video is not None:
            self._video.stop()

    def hint(self, indices: Sequence[int]) -> None:
        """Say which moments are likely to be asked for after the next call of `frames`: see `Clip.hint`."""
        self._likely = tuple(indices)

    def frames(self, indices: Sequence[int], deadline: float | None = None) -> list[NDArray[np.uint8]]:
        """Decode and convert the frames of the moments `indices`, each uint8 [crop, crop, 3], in that order.

        Those asked for at once, without a deadline, are decoded on several cores where that is faster. Raises OutOfTime
        if that is not done at `deadline`, in seconds of `time.perf_counter`.
        """
        video = self._opened_video()
        times_s = {index: self._file_s(index) for index in indices}
        likely, self._likely = self._likely, ()
        likely_s = [self._file_s(index) for index in likely if index not in times_s]
        with as_clip_error(self.name, CHECK_FILE):
            shown = video.frames(sorted(times_s.values()), deadline, likely_s)
        for time_s in shown:
            self._check_end(video.pool, time_s)
        return [self._checked(shown[times_s[index]]) for index in indices]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Decode the whole frame of a moment in its own size, upright: uint8 [H, W, 3], RGB."""
        video = self._opened_video()
        video.wait()
        with as_clip_error(self.name, CHECK_FILE):
            frame = self._checked(video.pool.first.frame_at(self._file_s(index)))
            return FrameConverter(FrameGeometry()).whole(frame)

    def close(self) -> None:
        """Close files and decoders; sound that was read already stays readable."""
        self._closed = True
        for track in (self._video, self._sound):
            if track is not None:
                track.close()

    def _file_s(self, index: int) -> float:
        """Return the second of the file at which a moment lies: tracks know no segment."""
        return self._segment.start_s + self.moments[index].time_s

    def _check_open(self) -> None:
        if self._closed:
            raise ClipError(self.name, "it is closed", "open it again")

    def _opened_video(self) -> Prefetcher:
        if self._video is None:
            raise ClipError(self.name, "it has no video", "ask for its sound only")
        self._check_open()
        return self._video

    def _checked(self, frame: Frame | None) -> Frame:
        if frame is None:
            raise ClipError(self.name, "none of its frames can be decoded", CHECK_FILE)
        return frame

    def _check_sound(self, sound: SoundTrack) -> None:
        if sound.decoded:
            return
        if self._video is None:
            raise ClipError(self.name, "none of its sound can be decoded", CHECK_FILE)
        self._warnings.append("the audio track has no sound that can be decoded at the moments")

    def _check_end(self, video: DecoderPool, time_s: float) -> None:
        if video.end_s is not None and time_s - video.end_s > EARLY_END_S:
            last_s = self._segment.start_s + self.duration_s
            text = f"{ENDS_EARLY} {video.end_s:.1f} s of {last_s:.1f} s: its last frame stands for the rest"
            if text not in self._frame_warnings:
                self._frame_warnings.append(text)
