"""Several decoders of one video, which decode groups of pictures side by side, one on each core.

One decoder is not enough: a key frame is mostly a single slice, which one core decodes however many there are.
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
from avgn_edge.media.frames import FrameConverter, FrameGeometry, Pixels
from avgn_edge.media.source import LIBRARY_ERRORS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    import av

    from avgn_edge.media.moments import Moment
    from avgn_edge.media.video import Threads, VideoTrack

MOST_DECODERS: Final = 4
"""Each keeps its file open and up to 16 pictures: at 3840 × 2160 some 200 MB."""
LARGEST_SHARED: Final = 4096 * 2304 // 1_000
"""Kilopixels. Larger frames have a single decoder, which takes much memory: 800 MB at 7680 × 4320."""
LONG_RUN_FRAMES: Final = 12
"""Where more frames than this must be decoded for each that is wanted, decoders use threads across frames, else inside
them."""
WORTH_A_DECODER: Final = 20_000
"""The least work that is shared out: some 13 ms on one core. Opening another decoder takes 1 ms, or 8 in a file of half
an hour."""
MOST_KEPT_BYTES: Final = 64 * 2**20
"""Of decoded frames that were not asked for yet: sixteen of 1920 × 1080, five of 3840 × 2160."""
FEW: Final = 32
"""Where more frames may be asked for than this, as in a whole film, most never are: those on the way are not kept."""


class FrameRequest(NamedTuple):
    """A frame to decode."""

    time_s: float
    alone: bool
    """Whether no later frame of the same group of pictures can be asked for."""
    before: tuple[float, ...] = ()
    """Frames that may be asked for later and may lie on the way, since the request before in the same group."""
    likely: bool = False
    """Whether it was not asked for yet: it is decoded, and not converted."""


class DecoderPool:
    """The decoders of one video. Times are seconds of the file.

    Args:
        first: The track that is open.
        another: Opens the same video again, as often as more decoders are needed.
        geometry: The size of the frames that networks see.
        decoders: How many decoders there may be.
    """

    def __init__(
        self, first: VideoTrack, another: Callable[[], VideoTrack], geometry: FrameGeometry, decoders: int
    ) -> None:
        self._another = another
        self._geometry = geometry
        self._decoders = [_Decoder(first, geometry)]
        self._most = decoders if first.kilopixels <= LARGEST_SHARED else 1
        self._threads: Threads | None = None
        self._wanted_s: list[float] = []
        self._kept: dict[float, av.VideoFrame] = {}
        """Frames that were decoded on the way to others and may be asked for, by time."""

    @property
    def first(self) -> VideoTrack:
        """The track that is open from the beginning."""
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
        """Return the time whose frame is decoded soonest, within the middle share `reach` of the moment's bin."""
        time_s = self.first.cheapest(Span.of(moment, reach)) if reach > 0 else None
        return moment.time_s if time_s is None else time_s

    def expect(self, times_s: Iterable[float]) -> None:
        """Say at which times frames may be asked for: what none of these needs is not decoded."""
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
    ) -> dict[float, Pixels | None]:
        """Decode and convert frames.

        Args:
            times_s: Which ones, in rising order.
            deadline: When to give up, in seconds of `time.perf_counter`. With a deadline only one decoder works, for
                `work` estimates what one takes.
            likely_s: Which ones are likely to be asked for next: without a deadline, decoders that would be idle
                decode the first of them and keep them.

        Returns:
            The frames by time: uint8 [crop, crop, 3], or None if nothing decodes.

        Raises:
            OutOfTime: The frames cannot be there by the deadline.
        """
        self._choose_threads()
        times_s = list(dict.fromkeys(times_s))
        pixels: dict[float, Pixels | None] = {
            time_s: self._decoders[0].converter.rgb(self._kept[time_s]) for time_s in times_s if time_s in self._kept
        }
        requests = self._requests([time_s for time_s in times_s if time_s not in pixels])
        if len(requests) > 1 and self.first.index.doubtful and not self.decoded:
            # One frame tells whether sharing is worth it: each frame may depend on the one before.
            self._decoders[0].read(requests[:1], pixels, deadline, self._kept)
            requests = self._requests([request.time_s for request in requests[1:]])
        groups = [list(group) for _, group in groupby(requests, key=lambda request: self.first.key_s(request.time_s))]
        likely = self._likely(likely_s, groups) if deadline is None else []
        count = min(self._most, len(groups) + len(likely)) if deadline is None else 1
        if count > 1 and self.work([*times_s, *(request.time_s for request in likely)]) > WORTH_A_DECODER:
            # The longest first, so that no decoder is left with a long one while the others have nothing to do.
            groups.sort(key=lambda group: self.first.work([request.time_s for request in group]), reverse=True)
            self._share(deque([*groups, *([request] for request in likely)]), count, pixels)
        elif requests:
            # The decoder that is nearest.
            decoder = min(self._decoders, key=lambda decoder: decoder.track.work([requests[0].time_s]))
            decoder.read(requests, pixels, deadline, self._kept)
        for time_s in times_s:
            self._kept.pop(time_s, None)
        return pixels

    def close(self) -> None:
        """Close all decoders."""
        self._kept.clear()
        for decoder in self._decoders:
            decoder.track.close()

    def _requests(self, times_s: Sequence[float]) -> list[FrameRequest]:
        requests: list[FrameRequest] = []
        asked_for = set(times_s)
        for time_s in times_s:
            after_s = max(requests[-1].time_s if requests else 0.0, self.first.key_s(time_s))
            first, last = (bisect_left(self._wanted_s, end_s) for end_s in (after_s, time_s))
            between = self._wanted_s[first:last] if len(self._wanted_s) <= FEW else []
            before = tuple(one for one in between if one not in asked_for and one not in self._kept)
            requests.append(FrameRequest(time_s, self._is_alone(time_s), before))
        return requests

    def _likely(self, times_s: Sequence[float], groups: Sequence[Sequence[FrameRequest]]) -> list[FrameRequest]:
        """Return the first of `times_s` that are in other groups of pictures, one for each decoder to spare."""
        taken = {self.first.key_s(group[0].time_s) for group in groups}
        spare = self._most - len(groups) if groups else 0
        likely: list[FrameRequest] = []
        for time_s in times_s:
            key_s = self.first.key_s(time_s)
            if len(likely) < spare and key_s not in taken and time_s not in self._kept:
                taken.add(key_s)
                likely.append(FrameRequest(time_s, self._is_alone(time_s), likely=True))
        return likely

    def _share(self, groups: deque[list[FrameRequest]], count: int, pixels: dict[float, Pixels | None]) -> None:
        """Let each of `count` decoders take the next group of pictures, until none is left."""

        def decode(decoder: _Decoder | None) -> None:
            try:
                decoder = decoder or self._opened()
            except LIBRARY_ERRORS:
                return  # no more files or memory: the others do it all
            try:
                while (requests := _next(groups)) is not None:
                    decoder.read(requests, pixels, None, self._kept)
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
        """Choose the kind of threads, before anything is decoded, by how many frames are decoded for each wanted."""
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
    """Take the next group; None where other threads have taken all."""
    try:
        return groups.popleft()
    except IndexError:
        return None


class _Decoder:
    """A track and the converter of its frames, for one thread at a time."""

    def __init__(self, track: VideoTrack, geometry: FrameGeometry) -> None:
        self.track = track
        self.converter = FrameConverter(geometry)
        self._conversion_s = 0.0  # what the latest one took

    def read(
        self,
        requests: Sequence[FrameRequest],
        pixels: dict[float, Pixels | None],
        deadline: float | None,
        kept: dict[float, av.VideoFrame],
    ) -> None:
        """Put the frames of `requests` into `pixels`; times that show the same frame share an array.

        Frames on the way that may be asked for later go into `kept`: decoded, not converted.
        """
        shown: int | None = None
        latest: Pixels | None = None
        for time_s, alone, before, likely in requests:
            if likely:
                with contextlib.suppress(*LIBRARY_ERRORS):  # `frames` will raise them if it is asked for
                    _keep(kept, time_s, self.track.frame_at(time_s, alone=alone))
                continue
            due = None if deadline is None else deadline - self._conversion_s
            for other_s in before:
                if self.track.on_the_way(other_s, time_s):
                    _keep(kept, other_s, self.track.frame_at(other_s, due))
            frame = self.track.frame_at(time_s, due, alone=alone)
            if frame is None:
                latest = None
            elif latest is None or frame.pts != shown:
                started = time.perf_counter()
                shown, latest = frame.pts, self.converter.rgb(frame)
                self._conversion_s = time.perf_counter() - started
            pixels[time_s] = latest


def _keep(kept: dict[float, av.VideoFrame], time_s: float, frame: av.VideoFrame | None) -> None:
    """Put a frame into `kept` if there is room for as many of its size, and one more."""
    if frame is not None and (len(kept) + 1) * frame.width * frame.height * 3 // 2 <= MOST_KEPT_BYTES:
        kept[time_s] = frame
