"""Frames wanted at once, decoded side by side: a decoder on each core, groups of pictures shared out between them.

Key frames are mostly one slice, which one core decodes however many there are; two decoders use two.
"""

from __future__ import annotations

import contextlib
import time
from bisect import bisect_left, bisect_right
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from avgn_edge.media.frame_index import Span
from avgn_edge.media.frames import FrameConverter, FrameGeometry
from avgn_edge.media.source import LIBRARY_ERRORS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import av
    import numpy as np
    from numpy.typing import NDArray

    from avgn_edge.media.moments import Moment
    from avgn_edge.media.video import Threads, VideoTrack

MOST_DECODERS: Final = 4
"""Each holds up to 16 pictures and its file open: at 3840 × 2160 some 200 MB."""
LARGEST_SHARED: Final = 4096 * 2304 // 1_000
"""Kilopixels. Of larger frames one decoder alone takes much memory: 800 MB at 7680 × 4320."""
LONG_RUN_FRAMES: Final = 12
"""Where a frame takes a run of more than this on average, decoders use threads across frames, else inside them."""
WORTH_A_DECODER: Final = 20_000
"""Work that is shared out: some 13 ms on one core. Another decoder takes 1 ms to open, in a file of half an hour 8."""
MOST_KEPT_BYTES: Final = 64 * 2**20
"""Of decoded pictures that were not asked for yet: sixteen of 1920 × 1080, five of 3840 × 2160."""
FEW: Final = 32
"""Frames that may be asked for. Of more, as of a whole film, most never are, and those on the way are not kept."""


class FrameRequest(NamedTuple):
    """A frame that is wanted, and whether nothing after it in its group of pictures ever will be."""

    time_s: float
    alone: bool
    before: tuple[float, ...] = ()
    """What may be asked for later of the same group, since the shot before: frames that may lie on the way."""
    likely: bool = False
    """Not asked for yet: decoded, and not converted."""


class DecoderPool:
    """The decoders of one video, opened by `another` as they are needed. Times are seconds of the file."""

    def __init__(
        self, first: VideoTrack, another: Callable[[], VideoTrack], geometry: FrameGeometry, decoders: int
    ) -> None:
        self._another = another
        self._geometry = geometry
        self._decoders = [_Decoder(first, geometry)]
        self._most = decoders if first.kilopixels <= LARGEST_SHARED else 1
        self._threads: Threads | None = None
        self._wanted_s: list[float] = []
        self._kept = _Kept()

    @property
    def first(self) -> VideoTrack:
        """The track that is open from the beginning; the only one that a deadline lets decode."""
        return self._decoders[0].track

    @property
    def interrupt(self) -> threading.Event:
        """Set by another thread, `frames` raises OutOfTime before its next packet."""
        return self.first.interrupt

    @property
    def conversions(self) -> int:
        """How many frames have been converted to RGB."""
        return sum(decoder.converter.conversions for decoder in self._decoders)

    @property
    def decoder(self) -> str:
        """The codec's name, and the device in brackets where one decodes."""
        return self.first.decoder

    @property
    def decoded(self) -> int:
        """Frames decoded so far, wanted or on the way to one."""
        return sum(decoder.track.decoded for decoder in self._decoders)

    @property
    def damaged(self) -> int:
        """Packets that could not be decoded."""
        return sum(decoder.track.damaged for decoder in self._decoders)

    @property
    def concealed(self) -> int:
        """Frames in which a decoder papered over damage."""
        return sum(decoder.track.concealed for decoder in self._decoders)

    @property
    def display_size(self) -> tuple[int, int] | None:
        """(width, height) of the first frame decoded, upright; None before."""
        sizes = (decoder.track.display_size for decoder in self._decoders)
        return next((size for size in sizes if size is not None), None)

    @property
    def end_s(self) -> float | None:
        """The second at which the last frame stops being shown, once decoding has come to it."""
        ends = (decoder.track.end_s for decoder in self._decoders)
        return next((end_s for end_s in ends if end_s is not None), None)

    def cheaper(self, moment: Moment, reach: float) -> float:
        """Return the time in the middle share `reach` of the moment's bin whose frame is decoded soonest."""
        found = self.first.cheapest(Span.of(moment, reach)) if reach > 0 else None
        return moment.time_s if found is None else found

    def expect(self, times_s: Iterable[float]) -> None:
        """Say which frames may be asked for: what serves none of them is not decoded."""
        self._wanted_s = sorted(set(times_s))

    def work(self, times_s: Sequence[float]) -> int:
        """Return about how long one decoder takes for the frames at these times, asked for in this order.

        In thousands of pixels decoded: see `VideoTrack.work`.
        """
        missing = [time_s for time_s in times_s if time_s not in self._kept]
        convert = (len(times_s) - len(missing)) * self.first.work_of_converting
        return convert + min(decoder.track.work(missing) for decoder in self._decoders)

    def frames(
        self, times_s: Sequence[float], deadline: float | None, likely_s: Sequence[float] = ()
    ) -> dict[float, NDArray[np.uint8] | None]:
        """Decode and convert the frames at `times_s`, never falling: uint8 [crop, crop, 3], None if nothing decodes.

        With a deadline, of `time.perf_counter`, one decoder works: `work` foretells what one takes. OutOfTime if that
        will not do. Without, decoders that would be idle decode the first of those that are likely to be asked for
        next, and keep them.
        """
        self._choose_threads()
        found: dict[float, NDArray[np.uint8] | None] = dict(self._decoders[0].converted(self._kept.of(times_s)))
        shots = self._shots([time_s for time_s in dict.fromkeys(times_s) if time_s not in found])
        if len(shots) > 1 and self.first.index.doubtful and not self.decoded:
            # One frame tells whether it is worth sharing out what follows, which may all depend on what comes before.
            self._decoders[0].read(shots[:1], found, deadline, self._kept)
            shots = self._shots([shot.time_s for shot in shots[1:]])
        groups = [list(group) for _, group in groupby(shots, key=lambda shot: self.first.key_s(shot.time_s))]
        likely = self._likely(likely_s, groups) if deadline is None else []
        count = min(self._most, len(groups) + len(likely)) if deadline is None else 1
        if count > 1 and self.work([*times_s, *(shot.time_s for shot in likely)]) > WORTH_A_DECODER:
            # The longest first: the less is left to the last one at work while the others have nothing to do.
            groups.sort(key=lambda group: self.first.work([shot.time_s for shot in group]), reverse=True)
            self._share(deque([*groups, *([shot] for shot in likely)]), count, found)
        elif shots:
            # The one that stands nearest goes on.
            decoder = min(self._decoders, key=lambda decoder: decoder.track.work([shots[0].time_s]))
            decoder.read(shots, found, deadline, self._kept)
        self._kept.drop(times_s)
        return found

    def close(self) -> None:
        """Close all decoders."""
        self._kept.clear()
        for decoder in self._decoders:
            decoder.track.close()

    def _shots(self, times_s: Sequence[float]) -> list[FrameRequest]:
        shots: list[FrameRequest] = []
        asked = set(times_s)
        for time_s in times_s:
            after_s = max(shots[-1].time_s if shots else 0.0, self.first.key_s(time_s))
            first, last = (bisect_left(self._wanted_s, end_s) for end_s in (after_s, time_s))
            between = self._wanted_s[first:last] if len(self._wanted_s) <= FEW else []
            before = tuple(one for one in between if one not in asked and one not in self._kept)
            shots.append(FrameRequest(time_s, self._is_alone(time_s), before))
        return shots

    def _likely(self, times_s: Sequence[float], groups: Sequence[Sequence[FrameRequest]]) -> list[FrameRequest]:
        """Return the first of `times_s` in other groups of pictures than `groups`: one for each decoder to spare."""
        taken = {self.first.key_s(group[0].time_s) for group in groups}
        spare = self._most - len(groups) if groups else 0
        found: list[FrameRequest] = []
        for time_s in times_s:
            key_s = self.first.key_s(time_s)
            if len(found) < spare and key_s not in taken and time_s not in self._kept:
                taken.add(key_s)
                found.append(FrameRequest(time_s, self._is_alone(time_s), likely=True))
        return found

    def _share(
        self, groups: deque[list[FrameRequest]], count: int, found: dict[float, NDArray[np.uint8] | None]
    ) -> None:
        """Let `count` decoders take the next group of pictures each, as long as there are any."""

        def decode(decoder: _Decoder | None) -> None:
            try:
                decoder = decoder or self._opened()
            except LIBRARY_ERRORS:
                return  # no more files or memory: the others do it all
            try:
                while (shots := _next(groups)) is not None:
                    decoder.read(shots, found, None, self._kept)
            except BaseException:
                groups.clear()
                raise

        waiting: list[_Decoder | None] = [*self._decoders[1:count], *[None] * (count - len(self._decoders))]
        with ThreadPoolExecutor(count - 1, thread_name_prefix="avgn-edge-decode") as pool:
            others = [pool.submit(decode, decoder) for decoder in waiting]
            decode(self._decoders[0])
        for other in others:
            other.result()

    def _opened(self) -> _Decoder:
        decoder = _Decoder(self._another(), self._geometry)
        if self._threads is not None:
            decoder.track.use_threads(self._threads, self._most)
        decoder.track.learn(self.first)
        self._decoders.append(decoder)
        return decoder

    def _choose_threads(self) -> None:
        """Choose, before anything is decoded, by how much there is to decode for a frame."""
        if self._threads is not None:
            return
        groups = groupby(self._wanted_s, key=self.first.key_s)
        frames = sum(self.first.run_frames(max(group)) for _, group in groups)
        self._threads = "AUTO" if frames > LONG_RUN_FRAMES * len(self._wanted_s) else "SLICE"
        self.first.use_threads(self._threads, self._most)

    def _is_alone(self, time_s: float) -> bool:
        following = bisect_right(self._wanted_s, time_s)
        return following == len(self._wanted_s) or self.first.key_s(self._wanted_s[following]) > time_s


def _next(groups: deque[list[FrameRequest]]) -> list[FrameRequest] | None:
    """Take the next group, which another thread may have done since one looked."""
    try:
        return groups.popleft()
    except IndexError:
        return None


class _Kept:
    """Pictures that were decoded on the way to others and may be asked for: as long as there is room."""

    def __init__(self) -> None:
        self._frames: dict[float, av.VideoFrame] = {}

    def __contains__(self, time_s: float) -> bool:
        return time_s in self._frames

    def add(self, time_s: float, frame: av.VideoFrame | None) -> None:
        """Keep a frame if there is room for as many of its size, and one more."""
        if frame is not None and (len(self._frames) + 1) * frame.width * frame.height * 3 // 2 <= MOST_KEPT_BYTES:
            self._frames[time_s] = frame

    def of(self, times_s: Iterable[float]) -> dict[float, av.VideoFrame]:
        """Return those of these times."""
        return {time_s: self._frames[time_s] for time_s in times_s if time_s in self._frames}

    def drop(self, times_s: Iterable[float]) -> None:
        """Keep those of these times no longer."""
        for time_s in times_s:
            self._frames.pop(time_s, None)

    def clear(self) -> None:
        """Keep none."""
        self._frames.clear()


class _Decoder:
    """A track and what converts its frames: for one thread at a time."""

    def __init__(self, track: VideoTrack, geometry: FrameGeometry) -> None:
        self.track = track
        self.converter = FrameConverter(geometry)
        self._conversion_s = 0.0  # what the latest one took

    def converted(self, frames: Mapping[float, av.VideoFrame]) -> dict[float, NDArray[np.uint8]]:
        """Convert frames that are decoded already."""
        return {time_s: self.converter.rgb(frame) for time_s, frame in frames.items()}

    def read(
        self,
        shots: Sequence[FrameRequest],
        found: dict[float, NDArray[np.uint8] | None],
        deadline: float | None,
        kept: _Kept,
    ) -> None:
        """Put the pixels of `shots` into `found`: those of the same frame are the same array.

        What may be asked for later and lies on the way is put into `kept`, decoded and not converted.
        """
        shown: int | None = None
        pixels: NDArray[np.uint8] | None = None
        for time_s, alone, before, likely in shots:
            if likely:
                with contextlib.suppress(*LIBRARY_ERRORS):  # who asks for it will meet them
                    kept.add(time_s, self.track.frame_at(time_s, alone=alone))
                continue
            due = None if deadline is None else deadline - self._conversion_s
            for other_s in before:
                if self.track.on_the_way(other_s, time_s):
                    kept.add(other_s, self.track.frame_at(other_s, due))
            frame = self.track.frame_at(time_s, due, alone=alone)
            if frame is None:
                pixels = None
            elif pixels is None or frame.pts != shown:
                started = time.perf_counter()
                shown, pixels = frame.pts, self.converter.rgb(frame)
                self._conversion_s = time.perf_counter() - started
            found[time_s] = pixels
