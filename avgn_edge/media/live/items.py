"""What a live source delivers, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import av
    from av.audio.frame import AudioFrame


@dataclass(frozen=True)
class Picture:
    """A decoded frame; `time_s` in seconds of the stream."""

    frame: av.VideoFrame
    time_s: float


@dataclass(frozen=True)
class Sound:
    """A piece of decoded sound; `time_s`, of its first sample, in seconds of the stream."""

    frame: AudioFrame
    time_s: float


State = Literal["connected", "lost", "reconnecting", "behind", "ended"]


@dataclass(frozen=True)
class Status:
    """Something happened to the source."""

    status: State
    text: str
    """The sentence for a person."""
    source: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


Item = Picture | Sound | Status


@dataclass(frozen=True)
class Piece:
    """What a connection delivers: a decoded frame and the source's own time of it, None where it has none."""

    frame: av.VideoFrame | AudioFrame
    time_s: float | None
    lasts_s: float = 0.0
    waited_s: float = 0.0
    """How long the source kept us waiting for it: next to nothing where there is a backlog."""


class Connection(Protocol):
    """A source that is open. Whatever it raises means that it is lost; `ends` tells whether its end is the end."""

    ends: bool
    """Whether it ends where its data end, as files do; a live source that ends has been lost."""

    @property
    def what(self) -> str:
        """Its tracks in words."""
        ...

    def pieces(self) -> Iterator[Piece]:
        """Deliver until the end."""
        ...

    def set_skip_level(self, level: int) -> None:
        """Decode less: 0 all, 1 no frame that no other needs, 2 key frames only."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
