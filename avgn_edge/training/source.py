"""Where the batches of an epoch come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from avgn_edge.errors import DataError
from avgn_edge.training.batch import Batch
from avgn_edge.training.clip_loader import Item, epoch_batches

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


class BatchSource(Protocol):
    """What `train` asks of its data."""

    @property
    def batches(self) -> int:
        """How many batches an epoch has; the same on every process of a run."""
        ...

    def epoch(self, number: int, first: int = 0) -> Iterable[Batch]:
        """Yield the batches of epoch `number`, from 0 on, beginning with batch `first`.

        The same again for the same number, wherever it begins: resuming rests on it.
        """
        ...


class LoaderSource:
    """A `BatchSource` of encoded clips: reads what `make_loader` made.

    `tell` is given a line for every clip that failed or had something wrong with it, once each.
    """

    def __init__(self, loader: DataLoader[Item], tell: Callable[[str], None] = lambda _: None) -> None:
        self._loader = loader
        self._tell = tell
        self._told: set[str] = set()

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return len(self._loader)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch; DataError when no clip of a batch could be read."""
        batches = epoch_batches(self._loader, number, first)
        loaded = next(batches, None)
        while loaded is not None:
            for text in (*(failure.error for failure in loaded.failures), *loaded.warnings):
                if text not in self._told:
                    self._told.add(text)
                    self._tell(text)
            if loaded.batch is None:
                names = ", ".join(failure.name for failure in loaded.failures[:3])
                raise DataError("a batch", f"none of its clips could be read, among them {names}", "repair them")
            yield loaded.batch
            loaded = next(batches, None)
