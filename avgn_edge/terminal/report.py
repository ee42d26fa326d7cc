"""`--report` of a batch: the index over its pages, whatever ends it. The pages are written where the clips are run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avgn_edge.terminal import lines

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from avgn_edge.runtime.result import Result
    from avgn_edge.terminal.classify import Writer
    from avgn_edge.terminal.job import Failure


class Indexed:
    """Tells outcomes as another writer does, and writes the index of `folder` in the end; AvgnEdgeError if it cannot.

    Without a folder it is the other writer, no more.
    """

    def __init__(self, writer: Writer, folder: Path | None) -> None:
        self._writer = writer
        self._folder = folder
        self._failed: list[tuple[str, str]] = []

    def answer(self, result: Result) -> None:
        """Tell an answer."""
        self._writer.answer(result)

    def failure(self, clip: str, failure: Failure) -> None:
        """Tell why a clip has none, and keep it for the index."""
        if self._folder is not None:
            self._failed.append((clip, failure.why))
        self._writer.failure(clip, failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is None:
            return
        from avgn_edge.reports.index import write_index  # noqa: PLC0415 - most batches have no report

        lines.note(f"report: {write_index(self._folder, self._failed)}")
