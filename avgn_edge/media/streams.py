"""Which of a container's streams are played: moving pictures, no covers, and of several the one that FFmpeg prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from av.stream import Disposition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

    AnyStream = TypeVar("AnyStream", VideoStream, AudioStream)

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
