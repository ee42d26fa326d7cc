"""Makes what tests of calibration are about: clips of all kinds, how answers to them form, and answers by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from network_makers import LABELS, REAL_COST, FakeBundle, FakeClip, ItemwiseEngine, fake_manifest, hearing
from numpy.typing import NDArray

from avgn_edge.architectures.avgn.spec import ARCHITECTURE
from avgn_edge.bundle.calibration_tables import ExitSettings, ExitTable, OperatingPoint
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.calibration.comparison import CachedClip, CachingSessions
from avgn_edge.calibration.trajectories import Row, Trajectories, gather, run_clip
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.result import Result
from avgn_edge.runtime.sessions import Sessions


def some_clip(seed: int) -> FakeClip:
    """With sound and pictures mostly; every third is silent in places, some altogether, some have no pictures."""
    video = seed % 5 != 3
    kind = "none" if seed % 7 == 5 and video else "some" if seed % 3 == 2 else "all"
    return FakeClip(hearing(kind, seed), video=video, seed=seed)


def manifest_of(task: str = "single-label", **changes: Any) -> Manifest:
    """Of the real prices, in which looks together cost what they cost one by one."""
    return fake_manifest(REAL_COST, task=task, **{"glances": 8, "looks": 5, **changes})


def recognizer_of(manifest: Manifest) -> Recognizer:
    """A recognizer that answers with a function of every byte of what it is given."""
    return Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")


def rows_of(manifest: Manifest, clips: Sequence[FakeClip], grid: Sequence[int]) -> list[dict[int, Row]]:
    """How the answers to the clips form, by number of glances, as calibration finds it out."""
    sessions = Sessions(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
    return [run_clip(manifest, CachingSessions(sessions, ARCHITECTURE), CachedClip(clip), grid) for clip in clips]


def trajectories_of(rows: Sequence[Mapping[int, Row]], glances: int, task: str = "single-label") -> Trajectories:
    return gather([row[glances] for row in rows], glances, task)


def with_average(
    manifest: Manifest, glances: int, thresholds: Sequence[float], temperatures: Sequence[float]
) -> Manifest:
    """The same, calibrated: asked for an average of 1 GFLOP, it ends clips by these thresholds."""
    point = OperatingPoint("fp32", 10**9, glances, manifest.settings.looks, tuple(thresholds), 0.5, 10**9)
    table = ExitTable(glances, tuple(temperatures), 100, 10**9, ())
    return dataclasses.replace(manifest, exits=ExitSettings(None, {"fp32": (table,)}), operating_points=(point,))


def spent(result: Result) -> int:
    """In MACs."""
    return round(result.budget.spent_gflops * 1e9)


def named(result: Result, task: str) -> NDArray[np.bool_]:
    """The classes that an answer names, bool [C]."""
    if task == "multi-label":
        return np.asarray(result.probabilities >= 0.5)
    return np.array([label == result.label for label in LABELS])


def by_hand(
    best: Sequence[Sequence[tuple[int, float] | None]],
    macs: Sequence[Sequence[int]] | None = None,
    *,
    classes: int = 3,
    glances: int = 4,
) -> Trajectories:
    """Single-label answers, clip by clip and step by step: (class, score), or None for no answer.

    What each step had cost is 10, 20, 30 … where nothing else is said.
    """
    steps = len(best[0])
    scores = np.zeros((len(best), steps, classes), dtype=np.float32)
    reached = np.zeros((len(best), steps), dtype=np.bool_)
    for clip, answer in enumerate(best):
        for step, told in enumerate(answer):
            if told is not None:
                scores[clip, step] = (1 - told[1]) / (classes - 1)
                scores[clip, step, told[0]] = told[1]
                reached[clip, step] = True
    cost = np.tile(10 * np.arange(1, steps + 1), (len(best), 1)) if macs is None else np.array(macs)
    return Trajectories(glances, "single-label", scores, cost.astype(np.int64), reached)


def drawn(clips: int = 200, steps: int = 7, *, glances: int = 4, seed: int = 0, classes: int = 6):
    """Answers that get better and surer from step to step, and the labels, bool [n, C]; all steps are reached."""
    rng = np.random.default_rng((seed, glances))
    label = np.random.default_rng(seed).integers(0, classes, clips)
    hardness = np.random.default_rng((seed, 1)).uniform(0, 3, clips)
    logits = rng.normal(size=(clips, steps, classes)) * 1.2
    signal = np.linspace(0.3, 3.0, steps)[None, :] + 0.2 * glances**0.5 - hardness[:, None] / 2
    logits[np.arange(clips)[:, None], np.arange(steps)[None, :], label[:, None]] += signal
    scores = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = (scores / scores.sum(axis=-1, keepdims=True)).astype(np.float32)
    audio, glance, look = 192_000_000, 300_000_000, 121_000_000
    unseen = rng.random((clips, steps - 2)) < 1 - glances / 16
    looks = np.cumsum(look + glance * unseen, axis=1)
    first = np.full((clips, 1), audio)
    macs = np.concatenate((first, first + glances * glance, first + glances * glance + 8_000_000 + looks), axis=1)
    reached = np.ones((clips, steps), dtype=np.bool_)
    if glances == 0:
        reached[:, 1] = False
    truth = np.eye(classes, dtype=np.bool_)[label]
    return Trajectories(glances, "single-label", scores, macs.astype(np.int64), reached), truth
