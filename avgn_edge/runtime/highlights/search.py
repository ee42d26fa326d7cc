"""Finding highlights: listen to everything, glance where that is unsure or interesting, merge into segments (4.3)."""

from __future__ import annotations

import heapq
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from avgn_edge._base.arguments import instance, refuse, whole
from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.bundle.architecture import load
from avgn_edge.runtime.budget import DECODE, Budget, Ledger, Run, smallest
from avgn_edge.runtime.highlights.long_video import Video, listen
from avgn_edge.runtime.highlights.result import Highlights, Segment, Spending, Timeline
from avgn_edge.runtime.highlights.scoring import (
    Salience,
    answers,
    moment_times,
    scores,
    window_count,
)
from avgn_edge.runtime.highlights.segments import HighlightSettings, Span, find_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.media.clip import Clip
    from avgn_edge.runtime.highlights.long_video import VideoSource
    from avgn_edge.runtime.highlights.scoring import HighlightPolicy
    from avgn_edge.runtime.moments_table import MomentsTable
    from avgn_edge.runtime.sessions import Flags, Floats, GraphRunner


def interesting(interest: Floats, taken: Flags, count: int, least: float, apart: int) -> list[int]:
    """Choose up to `count` moments of an interest of at least `least`, the greatest first.

    None is among the `taken`, or fewer than `apart` moments from one chosen before it.
    """
    chosen: list[int] = []
    blocked = taken.copy()
    for moment in np.argsort(-interest, kind="stable"):
        if len(chosen) >= count or interest[moment] < least:
            break
        if not blocked[moment]:
            chosen.append(int(moment))
            blocked[max(0, moment - apart + 1) : moment + apart] = True
    return chosen


def spread(taken: Flags, count: int, work: Callable[[int], int]) -> list[int]:
    """Choose up to `count` moments that are not taken, each in the middle of the largest gap that is left.

    Of the middle third of a gap it is the moment of the least `work`, such as one just after a key frame.
    """
    walls = [-1, *np.flatnonzero(taken).tolist(), len(taken)]
    gaps = [(-(after - before), before, after) for before, after in pairwise(walls)]
    heapq.heapify(gaps)
    chosen: list[int] = []
    while gaps and len(chosen) < count:
        size, before, after = heapq.heappop(gaps)
        if size > -2:
            break  # no moment between two neighbours
        middle, third = (before + after) // 2, (after - before) // 6
        candidates = range(max(before + 1, middle - third), min(after, middle + third + 1))
        moment = min(candidates, key=lambda each: (work(each), abs(each - middle)))
        chosen.append(moment)
        for gap in ((before, moment), (moment, after)):
            heapq.heappush(gaps, (gap[0] - gap[1], *gap))
    return chosen


TOGETHER: Final = 8
"""Frames that are decoded and encoded at once."""
ROUNDS: Final = 2
"""Of glances; AV-TeST runs again after each."""
CHECK_S: Final = 1.5
"""Between two of the moments that are checked because of their sound."""
NEIGHBOURS: Final = 2
"""Moments on either side of a good one that are half as interesting as it is."""
MOST: Final = 1.0
"""Of a score that is told. AV-TeST's saliency may be a little above 1; segments are ranked by all of it."""


def find(
    source: VideoSource,
    manifest: Manifest,
    account: Callable[[Budget], tuple[GraphRunner, Ledger]],
    budget: str | Budget | None,
    *,
    top: int,
    settings: HighlightSettings | None,
    progress: Callable[[int, int], None] | None,
    device: str,
    precision: str,
) -> Highlights:
    """Find the salient segments of a long video, as `Recognizer.highlights` says.

    `account` gives a bundle's graphs and the ledger that their runs are charged to. Without a budget it is
    `settings.share` of the cost of glancing at one frame a second. Memory grows with the video by some 8 kB a moment.
    """
    whole("top", top, 1)
    settings = instance("settings", HighlightSettings() if settings is None else settings, HighlightSettings)
    if progress is not None and not callable(progress):
        refuse("progress", progress, "it cannot be called", "give a function of two numbers")
    asked = None if budget is None else Budget.parse(budget)
    video = Video(source, manifest.preprocessing)
    if not video.duration_s > 0:
        raise ClipError(video.name, "it has no duration", "give a video or a sound, not a picture")
    times_s = moment_times(video.duration_s, settings.spacing_s, manifest.preprocessing.moments)
    make: type[HighlightPolicy] = load(manifest.network.highlight_policy)
    prices = _Prices.of(make, manifest)
    limit = _limit(asked, video, prices, settings, len(times_s), manifest.preprocessing.moments)
    runner, ledger = account(limit)
    policy = make(manifest, runner, len(times_s))
    seen = policy.seen
    saliency = _Search(video, times_s, manifest, policy, ledger, settings, progress).run()
    says = answers(seen, len(manifest.labels), manifest.task)
    score = scores(saliency, says, manifest.task)
    spans = find_spans(times_s, score, video.duration_s, top, settings)
    return Highlights(
        video=video.name,
        duration_s=video.duration_s,
        segments=tuple(
            _segment(rank, span, times_s, says, score, manifest.labels) for rank, span in enumerate(spans, start=1)
        ),
        budget=Spending(
            limit.asked,
            None if limit.macs is None else limit.macs / 1e9,
            ledger.spent_macs / 1e9,
            prices.glance * video.duration_s / 1e9,
            int(seen.glanced.sum()),
            len(seen),
        ),
        device=device,
        precision=precision,
        model=manifest.name,
        warnings=video.warnings,
        timeline=_timeline(times_s, seen, saliency, score),
    )


def _timeline(times_s: NDArray[np.float64], seen: MomentsTable, saliency: Floats, score: Floats) -> Timeline:
    """What is known of each moment, in arrays that cannot be written."""
    told = Timeline(times_s, saliency, np.minimum(score, MOST), seen.heard, seen.glanced)
    for array in (told.time_s, told.saliency, told.score, told.heard, told.glanced):
        array.flags.writeable = False
    return told


class _Search:
    """One video's search; the policy writes what is heard and seen into its table."""

    def __init__(
        self,
        video: Video,
        times_s: NDArray[np.float64],
        manifest: Manifest,
        policy: HighlightPolicy,
        ledger: Ledger,
        settings: HighlightSettings,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._video, self._manifest, self._policy, self._ledger = video, manifest, policy, ledger
        self._settings, self._progress = settings, progress
        self._times_s, self._seen = times_s, policy.seen
        self._salience = Salience(policy, manifest.preprocessing.moments)
        self._windows = window_count(len(times_s), manifest.preprocessing.moments)
        self._done, self._total = 0, len(times_s)

    def run(self) -> Floats:
        """Listen, glance, and return the saliency of each moment, [n]."""
        video, moments = self._video, len(self._times_s)
        if video.has_audio:
            expected = [*[self._policy.listening] * moments, *self._policy.scoring * self._windows]
            self._total = moments + self._affordable(*expected)
            listen(video, self._times_s, self._policy, self._ledger, self._show)
        if not video.has_video and not self._seen.heard.any():
            raise ClipError(video.name, "it is silent and has no video", "give a video with something in it")
        saliency = self._salience.update()
        glances = self._affordable()
        if not glances:
            return saliency
        self._total = moments + glances
        self._done = moments
        with closing(video.whole(self._times_s.tolist())) as clip:
            first = self._first(saliency, glances, clip)
            self._glance(clip, first)
            saliency = self._salience.update(first)
            rest = self._rest(saliency, glances - len(first), clip)
            self._glance(clip, rest)
            video.note(clip.warnings)
        return self._salience.update(rest)

    def _affordable(self, *before: Run) -> int:
        """How many glances the budget buys after these runs, with what saliency costs after them."""
        if not self._video.has_video:
            return 0
        after = [*before, *self._policy.scoring * (ROUNDS * self._windows)]
        low, high = 0, len(self._times_s) + 1
        while high - low > 1:  # the most that the ledger affords; one glance's price is not for us to know
            middle = (low + high) // 2
            runs = [self._policy.glancing] * middle
            low, high = (middle, high) if self._ledger.affords(*runs, *after) else (low, middle)
        return low

    def _first(self, saliency: Floats, glances: int, clip: Clip) -> list[int]:
        """Check what sounds interesting, and cover what was not heard to be."""
        times_s, glanced, settings = self._times_s, self._seen.glanced, self._settings
        spacing_s = float(times_s[1] - times_s[0]) if len(times_s) > 1 else 2 * float(times_s[0])
        apart = max(1, round(CHECK_S / spacing_s))
        checks = interesting(
            self._scores(saliency), glanced, int(settings.checks * glances), settings.interesting, apart
        )
        taken = glanced.copy()
        taken[checks] = True
        return checks + spread(taken, int(settings.coverage * glances), lambda moment: clip.work([moment]))

    def _rest(self, saliency: Floats, glances: int, clip: Clip) -> list[int]:
        """Go after what the first glances saw, then cover more."""
        glanced, score = self._seen.glanced, self._scores(saliency)
        near = score.copy()
        for step in range(1, NEIGHBOURS + 1):
            near[step:] = np.maximum(near[step:], score[:-step] / 2)
            near[:-step] = np.maximum(near[:-step], score[step:] / 2)
        chosen = interesting(near, glanced, glances, self._settings.interesting, 1)
        taken = glanced.copy()
        taken[chosen] = True
        return chosen + spread(taken, glances - len(chosen), lambda moment: clip.work([moment]))

    def _scores(self, saliency: Floats) -> Floats:
        says = answers(self._seen, len(self._manifest.labels), self._manifest.task)
        return scores(saliency, says, self._manifest.task)

    def _glance(self, clip: Clip, moments: Sequence[int]) -> None:
        """See the frames of `moments`, in order of time, which decodes least."""
        ordered = sorted(moments)
        for first in range(0, len(ordered), TOGETHER):
            rows = ordered[first : first + TOGETHER]
            with self._ledger.timing(Run(DECODE, clip.work(rows))):
                frames = clip.frames(rows)
            self._policy.glance(np.stack(frames), rows)
            self._show(self._done + len(rows))

    def _show(self, done: int) -> None:
        self._done = done
        if self._progress is not None:
            self._progress(done, self._total)


@dataclass(frozen=True)
class _Prices:
    """In multiply-accumulates: of hearing a moment, of seeing one, and of scoring a window."""

    listen: int
    glance: int
    score: int

    @classmethod
    def of(cls, policy: type[HighlightPolicy], manifest: Manifest) -> _Prices:
        price = Ledger(Budget(), manifest.cost, None).price
        return cls(price(policy.listening), price(policy.glancing), price(*policy.scoring))


def _limit(
    limit: Budget | None, video: Video, prices: _Prices, settings: HighlightSettings, moments: int, window: int
) -> Budget:
    """The budget for this video; BudgetError for one of time, or one that does not reach the first saliency.

    Where none is given, it is a share of glancing at one frame a second, and at least reaches a glance.
    """
    saliency = window_count(moments, window) * prices.score
    least = saliency + (moments * prices.listen if video.has_audio else 0)
    if limit is None:
        share = int(settings.share * prices.glance * video.duration_s)
        return Budget("default", max(share, least + ROUNDS * saliency + prices.glance))
    if limit.seconds is not None:
        raise BudgetError(f"budget {limit.asked}", "highlights are searched for within compute", "give it in gflops")
    if limit.macs is not None and limit.macs < least:
        what = "listening to the whole video costs more" if video.has_audio else "the first saliency costs more"
        raise BudgetError(f"budget {limit.asked}", what, f"give at least {smallest(least)}")
    return limit


def _segment(
    rank: int, span: Span, times_s: NDArray[np.float64], says: Floats, score: Floats, labels: Sequence[str]
) -> Segment:
    """Name a segment by what its moments say, each as much as it scores."""
    rows = np.array(span.moments)
    mean = np.average(says[rows], axis=0, weights=score[rows])
    best = int(mean.argmax())
    return Segment(
        rank,
        span.start_s,
        span.end_s,
        float(times_s[span.peak]),
        min(span.score, MOST),
        labels[best],
        min(float(mean[best]), MOST),
    )
