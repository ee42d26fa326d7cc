"""Accuracy over cost as a picture, with matplotlib's objects alone: no pyplot, no state that outlives a call."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.atomic import whole
from avgn_edge._base.errors import DataError, MissingExtraError
from avgn_edge._base.user_cache import writable_cache
from avgn_edge.data.evaluation.row import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox, BboxBase


FORMATS = (".png", ".svg", ".pdf")
INK, FAINT, SPREAD = "#1f4e79", "#8a8a8a", "#b9cde0"
_OFFSETS = tuple((x, sign * y) for x in (5, -45) for y in (11, 22, 33, 44, 55) for sign in (-1, 1))
"""Where a point's name may stand, in points from it; the best is below to the right, where a rising curve is not."""


def check_plot(path: Path) -> None:
    """Refuse a picture that could not be written, before any clip is run: DataError, or MissingExtraError."""
    what = f"plot {path}"
    if path.suffix.lower() not in FORMATS:
        raise DataError(
            what, f"{path.suffix or 'no suffix'} is no picture format known here", "name it .png, .svg or .pdf"
        )
    if path.is_dir():
        raise DataError(what, "it is a folder", "name a file")
    if not path.parent.is_dir():
        raise DataError(what, "its folder does not exist", "create the folder first")
    try:
        with _own_font_list():
            import matplotlib.figure  # noqa: F401, PLC0415
    except ImportError as error:
        raise MissingExtraError("evaluate --plot", "matplotlib", "evaluate") from error


@contextmanager
def _own_font_list() -> Iterator[None]:
    """Have matplotlib keep its list of fonts in our cache, unless the user or the program says where."""
    name = "MPLCONFIGDIR"
    folder = None if name in os.environ or "matplotlib" in sys.modules else writable_cache("matplotlib")
    if folder is None:
        yield
        return
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        del os.environ[name]


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw one row or more of a bundle, and write the picture whole or not at all; its suffix says the format."""
    check_plot(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure, sorted(rows, key=lambda row: (row.mean_gflops, row.p95_gflops)))
    with whole(path) as unfinished:
        figure.savefig(unfinished, format=path.suffix[1:].lower(), dpi=150)


def _draw(figure: Figure, rows: Sequence[Row]) -> None:
    axes = figure.add_subplot()
    several = rows[0].task == "multi-label"
    cost = [row.mean_gflops for row in rows]
    score = [100 * (row.mean_average_precision or 0.0) if several else 100 * row.top1 for row in rows]
    p95 = [row.p95_gflops for row in rows]
    axes.hlines(score, cost, p95, color=SPREAD, linewidth=5, label="from the mean to the 95th percentile", zorder=1)
    axes.plot(cost, score, "o-", color=INK, linewidth=1.5, markersize=6, zorder=3)
    chance = 100 * rows[0].chance
    axes.axhline(chance, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label=f"chance, {chance:.1f} %", zorder=2)
    axes.set_xlim(0, 1.08 * max(p95))
    axes.set_ylim(0, 102)
    axes.set_xlabel("GFLOPs a clip (10⁹ multiply-accumulates, all counted)")
    axes.set_ylabel("mAP, %" if several else "top-1 accuracy, %")
    row = rows[-1]
    axes.set_title(f"{row.model}: {row.clips} clips, {row.device}, {row.precision}", loc="left", fontsize=11)
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.draw_without_rendering()  # places in the picture are known only now
    _name_points(axes, rows, cost, score)


def _name_points(axes: Axes, rows: Sequence[Row], cost: Sequence[float], score: Sequence[float]) -> None:
    """Write each budget beside its point, in the best place inside the axes that no earlier one takes."""
    taken: list[Bbox] = []
    for row, x, y in zip(rows, cost, score, strict=True):
        text = "no budget" if row.budget == "none" else row.budget
        label = axes.annotate(
            text, (x, y), xytext=_OFFSETS[0], textcoords="offset points", va="center", fontsize=9, color=INK, zorder=4
        )
        for offset in _OFFSETS:
            label.set_position(offset)
            box = label.get_window_extent()
            if _inside(box, axes.bbox) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        else:
            label.set_position(_OFFSETS[0])


def _inside(box: BboxBase, frame: BboxBase) -> bool:
    return bool(frame.xmin < box.xmin and box.xmax < frame.xmax and frame.ymin < box.ymin and box.ymax < frame.ymax)
