"""From what a clip came to, to the `Result` that a person or a program reads."""

from __future__ import annotations

import numpy as np

from avgn_edge._base.errors import ClipError
from avgn_edge.bundle.architecture import Architecture
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.media.clip import Clip
from avgn_edge.runtime.budget import DECODE, DECODE_AUDIO, FRONT_END, OPEN, Ledger
from avgn_edge.runtime.front_end import frame_geometry
from avgn_edge.runtime.loop import Told
from avgn_edge.runtime.moments_table import MomentReport, MomentsTable
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.result import BudgetReport, ClassScore, Result, Timing


def report(
    clip: Clip,
    seen: MomentsTable,
    told: Told,
    ledger: Ledger,
    options: Options,
    manifest: Manifest,
    device: str,
    precision: str,
) -> Result:
    """Put the answer so far, what it cost and how it came about into one `Result`."""
    scores = told.probabilities.copy()
    if not np.isfinite(scores).all():  # the graphs' outputs are checked; this is for what is made of them
        raise ClipError(clip.name, "its scores are not finite numbers", "try --precision fp32")
    scores.flags.writeable = False
    best = np.argsort(-scores, kind="stable")[: options.top].tolist()
    listed = tuple(ClassScore(manifest.labels[index], float(scores[index])) for index in best)
    return Result(
        clip=clip.name,
        duration_s=clip.duration_s,
        label=listed[0].label,
        score=listed[0].score,
        top=listed,
        budget=BudgetReport(
            asked=options.budget.asked,
            spent_gflops=ledger.spent_macs / 1e9,
            glances=int(seen.glanced.sum()),
            looks=len(seen.corners),
        ),
        exit=told.exit,
        moments=_moments(clip, seen, manifest),
        timing_ms=_timing(ledger, manifest.network),
        device=device,
        precision=precision,
        model=manifest.name,
        warnings=clip.warnings,
        probabilities=scores,
        runs=tuple(ledger.runs),
        spent_s=dict(ledger.spent_s),
        ahead_s=clip.prefetched_s,
    )


def _moments(clip: Clip, seen: MomentsTable, manifest: Manifest) -> tuple[MomentReport, ...]:
    given, side = manifest.preprocessing, float(seen.patch_size)
    geometry = frame_geometry(given)
    ranks = {moment: rank for rank, moment in enumerate(seen.corners)}
    rows = []
    for moment in clip.moments:
        index = moment.index
        box = None
        if side and index in seen.corners and clip.display_size is not None:
            box = geometry.to_source((*seen.corners[index], side, side), clip.display_size)
        alone = seen.moment_probabilities.get(index, seen.glance_probabilities.get(index))
        rows.append(
            MomentReport(
                index=index,
                time_s=moment.time_s,
                saliency=None if seen.saliency is None else float(seen.saliency[index]),
                glanced=bool(seen.glanced[index]),
                rank=ranks.get(index),
                box=box,
                label=None if alone is None else manifest.labels[int(alone.argmax())],
                score=None if alone is None else float(alone.max()),
            )
        )
    return tuple(rows)


def _timing(ledger: Ledger, network: Architecture) -> Timing:
    def spent(*names: str) -> float:
        return 1e3 * sum(ledger.spent_s.get(name, 0.0) for name in names)

    stages: dict[str, float] = {}
    for role in network.graphs:
        more = (FRONT_END,) if role.name == network.listener else ()
        stages[role.timing] = stages.get(role.timing, 0.0) + spent(*more, role.name)
    return Timing(spent(OPEN, DECODE, DECODE_AUDIO), stages, 1e3 * ledger.elapsed_s)
