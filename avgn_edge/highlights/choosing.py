"""Where to glance next: at what is interesting, and into the largest gaps (coarse to fine, as AVGN's glance order)."""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from avgn_edge.runtime.graphs import Flags, Floats


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
