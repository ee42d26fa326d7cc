"""`evaluate`: how well a bundle does on labelled clips, one row a budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge.terminal.lines import warning
from avgn_edge.terminal.progress import Bar
from avgn_edge.terminal.tables import columns

if TYPE_CHECKING:
    from avgn_edge.evaluation.evaluate import Row
    from avgn_edge.runtime.recognizer import Recognizer, Sampling


def evaluate_budgets(
    recognizer: Recognizer, data: Path, split: str | None, budgets: Sequence[str], sampling: Sampling
) -> Iterator[Row]:
    """Yield a row a budget, as each is done; every budget is checked before any clip is read."""
    from avgn_edge.evaluation.evaluate import evaluate  # noqa: PLC0415
    from avgn_edge.evaluation.labelled_clips import read_labels  # noqa: PLC0415
    from avgn_edge.evaluation.when_and_where import read_truth  # noqa: PLC0415

    for budget in budgets:
        recognizer.check_budget(budget)
    clips = read_labels(data, split)
    truth = read_truth(data if data.is_dir() else data.parent)
    with Bar("clips", len(clips) * len(budgets)) as bar:
        done = 0

        def progress() -> None:
            nonlocal done
            done += 1
            bar.show(done)

        for budget in budgets:
            row = evaluate(recognizer, clips, budget, truth=truth, sampling=sampling, progress=progress)
            for name in row.unreadable:
                warning(f"{name}: skipped, it cannot be read")
            yield row


def as_text(rows: Sequence[Row]) -> Iterator[str]:
    """Lay the rows out; shares in per cent."""
    head = ("budget", "clips", "top-1", "top-5", "GFLOPs", "p95", "glances", "looks", "ms", "when", "where")
    table = [head, *(_cells(row) for row in rows)]
    yield from columns(table, right=frozenset(range(1, len(head))))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.budget,
        str(row.clips),
        _share(row.top1),
        _share(row.top5),
        f"{row.mean_gflops:.3f}",
        f"{row.p95_gflops:.3f}",
        f"{row.mean_glances:.1f}",
        f"{row.mean_looks:.1f}",
        f"{row.mean_ms:.0f}",
        _share(row.when),
        "-" if row.where is None else f"{_share(row.where)} of {row.where_clips}",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
