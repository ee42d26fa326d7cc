"""Times for frames of H.264 in AVI, which says in which order they are decoded, not when they are shown."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

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
