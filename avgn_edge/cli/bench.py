"""`bench`: where the time goes, and the device profile that time budgets are planned with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from avgn_edge._base.errors import AvgnEdgeError
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, counted
from avgn_edge.cli.shared import AsJson, Device, MomentSampling, PackagedModel, Precision, Sampling
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.timings import Bench, bench


def command(
    clip: Annotated[str | None, typer.Argument(metavar="CLIP", help="A video or sound file.")] = None,
    model: PackagedModel = None,
    budget: Annotated[str, typer.Option("--budget", "-b", metavar="B", help="As for classify.")] = "none",
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int | None, typer.Option(metavar="N", help="CPU threads.")] = None,
    sampling: MomentSampling = Sampling.CHEAP,
    save: Annotated[
        bool, typer.Option("--save", help="Measure the device profile with care, and keep it for time budgets.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell where the time goes: decoding, front end, each graph, orchestration; medians of several runs."""
    if clip is None and not save:
        raise AvgnEdgeError("avgn-edge bench", "it needs a clip", "name one, or measure the device with --save")
    options = Options.of(budget, sampling=sampling.value)
    with Recognizer.open(model, device, precision, threads=threads) as recognizer:
        recognizer.strategy(options)
        if save:
            path = recognizer.save_profile()
            if path is None:
                advice = "make the cache folder writable, or set XDG_CACHE_HOME to one that is"
                raise AvgnEdgeError("the device profile", "the user's cache folder cannot be written", advice)
            console.note(f"device profile: {path}")
        if clip is None:
            return
        measured = bench(recognizer, clip, options)
    if as_json:
        console.json_line(measured.to_dict())
    else:
        console.data_lines(as_text(measured))


def as_text(measured: Bench) -> Iterator[str]:
    """Lay out the time of each stage for a person."""
    yield printable(
        f"{measured.clip}: {measured.model}, {measured.device}, {measured.precision}, budget {measured.budget}"
    )
    steps = f"{counted(measured.glance, 'glance')}, {counted(measured.looks, 'look')}, exit {measured.exit}"
    yield f"{steps}; medians of {counted(measured.repeats, 'run')}, the slowest {measured.slowest_ms:.1f} ms"
    rows = [("", "ms", "%", "runs")]
    for stage in measured.stages:
        share = f"{100 * stage.ms / measured.total_ms:.0f}" if measured.total_ms else ""
        rows.append((stage.name, f"{stage.ms:.2f}", share, str(stage.runs or "")))
    rows.append(("total", f"{measured.total_ms:.2f}", "", ""))
    yield from columns(rows, right=frozenset({1, 2, 3}))
    if measured.ahead_ms:
        yield f"frames decoded ahead for {measured.ahead_ms:.1f} ms; listed is what was waited for"
    if measured.over_floors is not None:
        frames, graphs = measured.frames_floor_ms, measured.graphs_floor_ms
        floors = f"{frames:.1f} ms of the frames alone, {graphs:.1f} ms of the graphs alone"
        yield f"floors: {floors}; the total is {measured.over_floors:.2f} times their sum"
