"""`evaluate`: how well a bundle does on labelled clips, one row a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge._base.text import printable
from avgn_edge.cli.console import warning
from avgn_edge.cli.formatting import columns, counted
from avgn_edge.cli.progress import Bar

if TYPE_CHECKING:
    from avgn_edge.data.datasets import DataSet
    from avgn_edge.data.evaluation.row import Details, Row
    from avgn_edge.runtime.options import Options, Sampling
    from avgn_edge.runtime.recognizer import Recognizer


LEGEND = (
    "when: the most salient moment lies in a true episode",
    "where: the first look's box contains the card's centre, of the clips whose first look falls on a readable card",
    "strict: the same, of all clips that hold a readable card",
)


def check_request(plot: Path | None, report: Path | None = None) -> None:
    """Refuse what is bound to fail later: a missing extra, a picture or a report that could not be written."""
    from avgn_edge.data.evaluation.metrics import sklearn_metrics  # noqa: PLC0415 - the extra may be missing
    from avgn_edge.data.evaluation.plot import check_plot  # noqa: PLC0415

    sklearn_metrics()
    if plot is not None:
        check_plot(plot)
    if report is not None:
        from avgn_edge._base.atomic import make_folder  # noqa: PLC0415

        make_folder(report)


def read_clips(data: Path, videos: Path | None, split: str | None) -> DataSet:
    """Read a data set, or one part of it."""
    from avgn_edge.data.datasets import read_dataset  # noqa: PLC0415

    whole = read_dataset(data, videos)
    return whole if split is None else whole.part(split)


def requests(
    budgets: Sequence[str], averages: Sequence[str], exit_risk: float | None, sampling: Sampling
) -> list[Options]:
    """Return a request a budget, and one an average; one without either where neither is given."""
    from avgn_edge.runtime.options import Options  # noqa: PLC0415

    limited = budgets or ([] if averages else ["none"])
    return [
        *(Options.of(budget, sampling=sampling, exit_risk=exit_risk) for budget in limited),
        *(Options.of(average=average, sampling=sampling, exit_risk=exit_risk) for average in averages),
    ]


def evaluate_requests(
    recognizer: Recognizer,
    data: DataSet,
    asked: Sequence[Options],
    *,
    mistakes: int = 0,
    detailed: Callable[[Details], None] | None = None,
) -> Iterator[Row]:
    """Yield a row a request, as each is done; every request is checked before any clip is read.

    `detailed` is called with the details of each before it, at most `mistakes` mistakes among them.
    """
    from avgn_edge.data.evaluation.measuring import evaluate, warm_up  # noqa: PLC0415
    from avgn_edge.data.evaluation.row import Witness  # noqa: PLC0415
    from avgn_edge.data.evaluation.when_and_where import read_truth  # noqa: PLC0415

    for one in asked:
        recognizer.strategy(one)
    truth = read_truth(data.source if data.source.is_dir() else data.source.parent)
    _warn_of_unknown_labels(data, recognizer.labels)
    told: set[str] = set()
    warm_up(recognizer, data.clips)
    with Bar("clips", len(data.clips) * len(asked)) as bar:
        done = 0

        def progress() -> None:
            nonlocal done
            done += 1
            bar.show(done)

        for one in asked:
            witness = None if detailed is None else Witness(recognizer.labels, recognizer.manifest.task)
            row = evaluate(
                recognizer,
                data.clips,
                one,
                truth=truth,
                progress=progress,
                witness=witness,
            )
            if detailed is not None and witness is not None:
                detailed(witness.details(mistakes))
            with bar.away():
                for line in dict.fromkeys(failure.error for failure in row.failed):
                    if line not in told:
                        told.add(line)
                        warning(f"skipped: {line}")
                yield row


def write_report(
    recognizer: Recognizer,
    rows: Sequence[Row],
    details: Sequence[Details],
    asked: Sequence[Options],
    folder: Path,
) -> Path:
    """Write the page over the rows, and a page for each mistake of the dearest one; return the first."""
    from avgn_edge._base.atomic import write_text  # noqa: PLC0415
    from avgn_edge.report.evaluation_page import EVALUATION, dearest_row, evaluation_page  # noqa: PLC0415
    from avgn_edge.report.writing import report_mistakes  # noqa: PLC0415

    at = dearest_row(rows)
    mistakes, examples = details[at].mistakes, []
    with Bar("pages", len(mistakes)) as bar:
        for example in report_mistakes(recognizer, mistakes, folder, asked[at]):
            examples.append(example)
            bar.show(len(examples))
    path = folder / EVALUATION
    write_text(path, evaluation_page(rows, details, examples))
    return path


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw accuracy over cost."""
    from avgn_edge.data.evaluation.plot import plot  # noqa: PLC0415

    plot(rows, path)


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
    from avgn_edge.data.datasets.data_set import listed  # noqa: PLC0415
    from avgn_edge.data.evaluation.measuring import unknown_labels  # noqa: PLC0415

    unknown = unknown_labels(data, known)
    if not unknown:
        return
    lost = sum(set(clip.labels) <= set(unknown) for clip in data.clips)
    warning(
        f"the bundle does not know {counted(len(unknown), 'label')} of the set ({listed(unknown)}): "
        f"clips that show nothing else ({lost}) count as wrong, and mAP leaves such labels out"
    )
