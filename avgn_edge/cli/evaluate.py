"""`evaluate`: how well a bundle does on labelled clips, one row a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from avgn_edge._base.atomic import make_folder, write_text
from avgn_edge._base.errors import DataError
from avgn_edge._base.text import printable
from avgn_edge.cli import console
from avgn_edge.cli.formatting import columns, counted
from avgn_edge.cli.progress import Bar
from avgn_edge.cli.shared import AsJson, Device, MomentSampling, Precision, Sampling, Threads, Videos
from avgn_edge.data.datasets import DataSet, read_dataset
from avgn_edge.data.datasets.data_set import listed
from avgn_edge.data.evaluation.measuring import evaluate, unknown_labels, warm_up
from avgn_edge.data.evaluation.metrics import sklearn_metrics
from avgn_edge.data.evaluation.plot import check_plot, plot
from avgn_edge.data.evaluation.row import Details, Row, Witness
from avgn_edge.data.evaluation.when_and_where import read_truth
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.options import Sampling as SamplingName
from avgn_edge.runtime.recognizer import Recognizer

LEGEND = (
    "when: the most salient moment lies in a true episode",
    "where: the first look's box contains the card's centre, of the clips whose first look falls on a readable card",
    "strict: the same, of all clips that hold a readable card",
)


def command(
    bundle: Annotated[str | None, typer.Argument(metavar="BUNDLE", help="[default: the packaged one]")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A folder per class, a CSV of path,label[,start,end,split], a folder of synth, or ActivityNet's JSON.",
        ),
    ] = None,
    videos: Videos = None,
    budget: Annotated[
        list[str] | None, typer.Option("--budget", "-b", metavar="B", help="May be given several times: a row each.")
    ] = None,
    exit_risk: Annotated[float | None, typer.Option(metavar="R", help="As for classify.")] = None,
    average: Annotated[
        list[str] | None, typer.Option(metavar="B", help="As for classify; may be given several times: a row each.")
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="The part of the set. [default: all of it]")] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw accuracy over cost: a .png, .svg or .pdf.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page to look at: curves, confusion, what went wrong.")
    ] = None,
    worst: Annotated[
        int, typer.Option(metavar="N", min=0, help="With --report: clips that went wrong to have a page.")
    ] = 12,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    sampling: MomentSampling = Sampling.CHEAP,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on labelled clips: accuracy and cost, and where truth is known, when and where it looked."""
    if data is None:
        raise DataError("avgn-edge evaluate", "it needs labelled clips", "give a data set with --data")
    sklearn_metrics()  # it raises where the extra is missing
    if plot_file is not None:
        check_plot(plot_file)
    if report is not None:
        make_folder(report)
    with Recognizer.open(bundle, device, precision, threads=threads) as recognizer:
        clips = read_dataset(data, videos)
        if split is not None:
            clips = clips.part(split)
        rows: list[Row] = []
        details: list[Details] = []
        options = requests(budget or [], average or [], exit_risk, sampling.value)
        detailed = None if report is None else details.append
        for row in evaluate_requests(recognizer, clips, options, mistakes=worst, detailed=detailed):
            rows.append(row)
            if as_json:
                console.json_line(row.to_dict())
        if report is not None:
            console.note(f"report: {write_report(recognizer, rows, details, options, report)}")
    if not as_json:
        console.data_lines(as_text(rows))
    if plot_file is not None:
        plot(rows, plot_file)
    raise typer.Exit(1 if any(row.failed for row in rows) else 0)


def requests(
    budgets: Sequence[str], averages: Sequence[str], exit_risk: float | None, sampling: SamplingName
) -> list[Options]:
    """Return a request for each budget and each average; one without either where neither is given."""
    limited = budgets or ([] if averages else ["none"])
    return [
        *(Options.of(budget, sampling=sampling, exit_risk=exit_risk) for budget in limited),
        *(Options.of(average=average, sampling=sampling, exit_risk=exit_risk) for average in averages),
    ]


def evaluate_requests(
    recognizer: Recognizer,
    data: DataSet,
    options: Sequence[Options],
    *,
    mistakes: int = 0,
    detailed: Callable[[Details], None] | None = None,
) -> Iterator[Row]:
    """Yield a row for each request, as each is done; every request is checked before any clip is read.

    `detailed` is called before each row with its details, which list at most `mistakes` mistakes.
    """
    for one in options:
        recognizer.strategy(one)
    truth = read_truth(data.source if data.source.is_dir() else data.source.parent)
    _warn_of_unknown_labels(data, recognizer.labels)
    shown: set[str] = set()
    warm_up(recognizer, data.clips)
    with Bar("clips", len(data.clips) * len(options)) as bar:
        done = 0

        def progress() -> None:
            nonlocal done
            done += 1
            bar.show(done)

        for one in options:
            witness = None if detailed is None else Witness(recognizer.labels, recognizer.manifest.task)
            row = evaluate(recognizer, data.clips, one, truth=truth, progress=progress, witness=witness)
            if detailed is not None and witness is not None:
                detailed(witness.details(mistakes))
            with bar.away():
                for line in dict.fromkeys(failure.error for failure in row.failed):
                    if line not in shown:
                        shown.add(line)
                        console.warning(f"skipped: {line}")
                yield row


def write_report(
    recognizer: Recognizer, rows: Sequence[Row], details: Sequence[Details], options: Sequence[Options], folder: Path
) -> Path:
    """Write the page over the rows, and a page for each mistake of the dearest row; return the path of the first."""
    from avgn_edge.report import evaluation_page  # noqa: PLC0415 - rarely asked for

    at = evaluation_page.dearest_row(rows)
    mistakes, examples = details[at].mistakes, []
    with Bar("pages", len(mistakes)) as bar:
        for example in evaluation_page.report_mistakes(recognizer, mistakes, folder, options[at]):
            examples.append(example)
            bar.show(len(examples))
    path = folder / evaluation_page.EVALUATION
    write_text(path, evaluation_page.evaluation_page(rows, details, examples))
    return path


def as_text(rows: Sequence[Row]) -> Iterator[str]:
    """Lay the rows out; shares and errors in per cent."""
    first = rows[0]
    chance = f"{100 * first.chance:.1f} {'mAP' if first.task == 'multi-label' else 'top-1'}"
    yield f"{first.model} on {printable(first.device)} in {first.precision}; chance is {chance}"
    judged = any(row.when_clips or row.readable_clips for row in rows)
    head = ("budget", "clips", "top-1", "top-5", "mAP", "ECE", "GFLOPs", "p95", "glances", "looks", "ms", "p95")
    table = [head + (("when", "where", "strict") if judged else ()), *(_cells(row, judged=judged) for row in rows)]
    yield from columns(table, right=frozenset(range(1, len(table[0]))))
    if judged:
        yield from LEGEND


def _cells(row: Row, *, judged: bool) -> tuple[str, ...]:
    cells = (
        row.budget,
        str(row.clips),
        _share(row.top1),
        _share(row.top5),
        _share(row.mean_average_precision),
        _share(row.expected_calibration_error),
        f"{row.mean_gflops:.3f}",
        f"{row.p95_gflops:.3f}",
        f"{row.mean_glances:.1f}",
        f"{row.mean_looks:.1f}",
        f"{row.mean_ms:.0f}",
        f"{row.p95_ms:.0f}",
    )
    where = "-" if row.where is None else f"{_share(row.where)} of {row.where_clips}"
    return cells + ((_share(row.when), where, _share(row.where_of_readable)) if judged else ())


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _warn_of_unknown_labels(data: DataSet, known: Sequence[str]) -> None:
    unknown = unknown_labels(data, known)
    if not unknown:
        return
    lost = sum(set(clip.labels) <= set(unknown) for clip in data.clips)
    console.warning(
        f"the bundle does not know {counted(len(unknown), 'label')} of the set ({listed(unknown)}): "
        f"clips that show nothing else ({lost}) count as wrong, and mAP leaves such labels out"
    )
