"""The benchmarks as a picture: everybody's time on each clip, where ours goes, and the memory of a folder's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.atomic import whole
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.data.evaluation.plot import FAINT, INK
from avgn_edge.runtime.budget import DECODE, DECODE_AUDIO, FRONT_END, OPEN
from avgn_edge.runtime.timings import STAGES, stage_name
from benchmarks.report import WITHIN, ClipRows, Report, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.processes import Batch

BLUES = (INK, "#2f74b5", "#5f9bd1", "#93bfe3", "#c3dcf1")
THEIRS = ("#c8502d", "#e0a030", "#7a5195")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "opening, frames": (STAGES[OPEN], STAGES[DECODE]),
    "sound": (STAGES[DECODE_AUDIO],),
    "log-mel": (STAGES[FRONT_END],),
    "graphs": tuple(map(stage_name, GRAPHS)),
}
"""Stages of ours that are drawn as one; orchestration is the rest."""
REST = "orchestration"
GROUP_COLOURS = (INK, "#5f9bd1", "#93bfe3", "#7fb069", "#c8502d")
MARKERS = "osD^v"


def draw(report: Report, path: Path) -> None:
    """Write the picture, whole or not at all; its suffix says the format, and there is a row of a clip or more."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    clips = report.clips
    memory = [batch for batch in report.batches if batch.samples]
    heights = [0.6 + 0.62 * len(clips), 0.75, 1.9][: 3 if memory else 2]
    figure = Figure(figsize=(13, 1 + sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = [["everybody", "ours"], ["their key", "our key"], ["memory", "memory"]][: len(heights)]
    axes = figure.subplot_mosaic(panels, width_ratios=[3, 2], height_ratios=heights)  # type: ignore[arg-type]
    _everybody(axes["everybody"], clips)
    _ours(axes["ours"], clips)
    for name, key in (("everybody", "their key"), ("ours", "our key")):
        axes[key].legend(
            *axes[name].get_legend_handles_labels(), loc="upper center", ncols=3, frameon=False, fontsize=8.5
        )
        axes[key].set_axis_off()
    if memory:
        _memory(axes["memory"], memory)
    for panel in axes.values():
        panel.set_axisbelow(True)
        panel.grid(axis="x", color="#e6e6e6", linewidth=0.7)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{report.settings['bundle']} on {report.machine['processor']}, {report.machine['machine']}",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    with whole(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix[1:].lower(), dpi=150)


def _everybody(axes: Axes, clips: Sequence[ClipRows]) -> None:
    """Medians and quartiles of all contenders, a line a clip, on a logarithmic axis."""
    ours = [row.contender for row in clips[0].rows if row.floor is not None]
    colours = dict(zip(ours, _shades(clips[0].rows), strict=True))
    theirs = [row.contender for row in clips[0].rows if row.floor is None and row.seconds is not None]
    colours |= dict(zip(theirs, THEIRS, strict=False))
    axes.set_xscale("log")
    devices = list(dict.fromkeys(_device(name) for name in ours))
    places = {name: 0.26 - 0.52 * at / max(1, len(colours) - 1) for at, name in enumerate(colours)}
    for name, colour in colours.items():
        marker = MARKERS[devices.index(_device(name))] if name in ours else "D"
        found = [(at, row.seconds) for at, clip in enumerate(clips) for row in clip.rows if row.contender == name]
        kept = [(at - places[name], seconds) for at, seconds in found if seconds is not None]
        middle = [seconds.median for _, seconds in kept]
        sides = [
            [seconds.median - seconds.low for _, seconds in kept],
            [seconds.high - seconds.median for _, seconds in kept],
        ]
        heights = [height for height, _ in kept]
        axes.errorbar(
            middle, heights, xerr=sides, fmt=marker, color=colour, markersize=5, elinewidth=1.6, label=name, zorder=3
        )
    _compare(axes, clips, ours[0], theirs)
    axes.set_xlabel("seconds to the label: medians, quartiles; × how many times as fast the first of ours is")
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
    axes.xaxis.set_minor_formatter(lambda _seconds, _: "")
    _name_clips(axes, clips)


def _compare(axes: Axes, clips: Sequence[ClipRows], mine: str, theirs: Sequence[str]) -> None:
    """Say beside each of theirs how many times as fast ours is without a budget."""
    for at, clip in enumerate(clips):
        slowest: dict[str, float] = {row.contender: row.seconds.high for row in clip.rows if row.seconds is not None}
        said = [f"{ratio:.1f}" for name in theirs if (ratio := clip.times_as_fast(mine, name)) is not None]
        if said:
            right = max(slowest.values())
            axes.annotate(
                f"× {' and '.join(said)}",
                (right, at),
                xytext=(9, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    low, high = axes.get_xlim()
    axes.set_xlim(low, high * 3)  # room for them


def _ours(axes: Axes, clips: Sequence[ClipRows]) -> None:
    """Where the time of ours goes without a budget, and its floor."""
    first = next(row.contender for row in clips[0].rows if row.floor is not None)
    rows = [next(row for row in clip.rows if row.contender == first) for clip in clips]
    heights = range(len(clips))
    left = [0.0] * len(rows)
    for (name, stages), colour in zip(GROUPS.items(), GROUP_COLOURS, strict=False):
        widths = [1e3 * sum(row.stages.get(stage, 0.0) for stage in stages) for row in rows]
        axes.barh(heights, widths, 0.55, left, color=colour, label=name)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    rest = [1e3 * sum(row.stages.values()) - start for row, start in zip(rows, left, strict=True)]
    axes.barh(heights, rest, 0.55, left, color=GROUP_COLOURS[-1], label=REST)
    floors = [1e3 * row.floor.median for row in rows if row.floor is not None]
    bounds = [at + side for at in heights for side in (-0.36, 0.36)]
    axes.vlines(floors, bounds[::2], bounds[1::2], color="black", linewidth=1.8, label="floor")
    limits = [WITHIN * floor for floor in floors]
    axes.vlines(limits, bounds[::2], bounds[1::2], color=FAINT, linestyle=":", label=f"{WITHIN} × the floor")
    axes.set_xlabel(f"milliseconds of {first}: where they go")
    _name_clips(axes, clips, named=False)


def _memory(axes: Axes, batches: Sequence[Batch]) -> None:
    """What a folder's run holds over time, its processes together."""
    for at, batch in enumerate(batches):
        seconds = [when for when, *_ in batch.samples]
        held = [size / 1e6 for _, size, _ in batch.samples]
        label = "the folder" if batch.jobs is None else f"{batch.jobs} jobs" if batch.jobs > 1 else "1 job"
        axes.plot(
            seconds, held, color=(INK, THEIRS[0])[at % 2], label=f"{label}, {batch.clips_per_s:.1f} clips a second"
        )
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds into a folder of clips")
    axes.set_ylabel("MB, all processes")
    axes.legend(loc="lower right", frameon=False, fontsize=8.5)


def _shades(rows: Sequence[Row]) -> list[str]:
    """A blue for each budget of each device."""
    seen: dict[str, int] = {}
    shades = []
    for row in rows:
        if row.floor is not None:
            device = _device(row.contender)
            shades.append(BLUES[seen.get(device, 0) % len(BLUES)])
            seen[device] = seen.get(device, 0) + 1
    return shades


def _device(name: str) -> str:
    return name.rpartition(", ")[2]


def _name_clips(axes: Axes, clips: Sequence[ClipRows], *, named: bool = True) -> None:
    axes.set_yticks(range(len(clips)), [clip.clip for clip in clips] if named else [""] * len(clips))
    axes.set_ylim(len(clips) - 0.5, -0.5)
