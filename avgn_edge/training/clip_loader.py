"""Batches from encoded clips, decoded ahead in worker processes; the same ones whatever decodes them (AVGN, 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from avgn_edge._base.errors import ClipError, DataError
from avgn_edge._base.signals import kept_from_children, obey_parent_alone
from avgn_edge.media.frames import DEFAULT_GEOMETRY, FrameGeometry
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.media.logmel import log_mel
from avgn_edge.media.opening import open_clip
from avgn_edge.training.batches import Augmentation, Batch, augment_frames, change_gain, mask_spectrograms

if TYPE_CHECKING:
    from avgn_edge.data.datasets import DataSet, LabelledClip
    from avgn_edge.media.clip import Clip


MOMENTS = 16
MOST_FAILURES = 0.1
"""Share of an epoch's clips that may fail."""
_ORDER_STREAM, _CLIP_STREAM = 1, 2  # without them (seed, epoch) would be (seed, epoch, 0): NumPy drops trailing zeros

Key = tuple[int, int]
"""Epoch, and a clip's place in its data set."""


@dataclass(frozen=True)
class Sample:
    """One clip, as arrays."""

    name: str
    frames: NDArray[np.uint8]
    """[16, H, W, 3], RGB."""
    spectrograms: NDArray[np.float32]
    """[16, 1, *shape]; `heard` is [16]."""
    heard: NDArray[np.bool_]
    target: NDArray[np.int64] | NDArray[np.float32]
    """int64 [] for one label a clip, float32 [C] of zeros and ones for several."""
    warnings: tuple[str, ...] = ()
    """What was not as it should be; to have no sound is no fault."""


@dataclass(frozen=True)
class Failure:
    """A clip that could not be used, and the one-line error that says why."""

    name: str
    error: str


Item = Sample | Failure


@dataclass(frozen=True)
class LoadedBatch:
    """A batch without the clips that failed."""

    batch: Batch | None
    """None where all of them failed."""
    names: tuple[str, ...]
    """Of the clips in `batch`, in order."""
    failures: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()
    """About the clips in `batch`, each "name: what"."""

    def pin_memory(self) -> LoadedBatch:
        """Pin its memory; DataLoader calls this."""
        return self if self.batch is None else replace(self, batch=self.batch.pin_memory())


class ClipMoments(Dataset[Item]):
    """The clips of a data set, 16 moments each, by (epoch, place).

    With an `augmentation`: a random moment in each of the 16 bins, and what the augmentation draws, anew each epoch.
    Without: the centre of each bin and of each frame, as inference takes them, the same in each epoch.
    A clip without sound is legal; one without video is a `Failure`, as there is nothing to glance at.
    Raises DataError for a clip whose labels do not fit the data set.
    """

    def __init__(
        self,
        dataset: DataSet,
        augmentation: Augmentation | None,
        seed: int = 0,
        front_end: FrontEnd = YAMNET,
        geometry: FrameGeometry = DEFAULT_GEOMETRY,
    ) -> None:
        self._front_end, self._geometry = front_end, geometry
        self._clips = dataset.clips
        self._augmentation = augmentation
        self._seed = seed
        self._single = dataset.task == "single-label"
        self._rows = {label: row for row, label in enumerate(dataset.labels)}
        for clip in self._clips:
            _check_labels(clip, self._rows, single=self._single)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, key: Key) -> Item:
        epoch, place = key
        labelled = self._clips[place]
        rng = np.random.default_rng((_CLIP_STREAM, self._seed, epoch, place))
        try:
            if self._augmentation is not None:
                return self._drawn(labelled, self._augmentation, rng)
            with self._opened(labelled, self._geometry) as clip:
                return self._sample(labelled, clip, _frames(clip), log_mel(clip.windows()[0], self._front_end))
        except ClipError as error:
            return Failure(labelled.name, str(error))

    def _drawn(self, labelled: LabelledClip, options: Augmentation, rng: np.random.Generator) -> Sample:
        uncut = FrameGeometry(self._geometry.resize, self._geometry.resize)
        with self._opened(labelled, uncut, partial(draw_times, rng)) as clip:
            frames = augment_frames(_frames(clip), rng, self._geometry.crop, options)
            spectrograms = log_mel(change_gain(clip.windows()[0], rng, options.gain_db), self._front_end)
            spectrograms = mask_spectrograms(spectrograms, rng, options.time_mask, options.band_mask, self._front_end)
            return self._sample(labelled, clip, frames, spectrograms)

    def _sample(
        self, labelled: LabelledClip, clip: Clip, frames: NDArray[np.uint8], spectrograms: NDArray[np.float32]
    ) -> Sample:
        warnings = tuple(text for text in clip.warnings if text != "no audio track")
        rows = [self._rows[label] for label in labelled.labels]
        several = np.isin(np.arange(len(self._rows)), rows).astype(np.float32)
        target = np.array(rows[0], dtype=np.int64) if self._single else several
        return Sample(labelled.name, frames, spectrograms, clip.windows()[1], target, warnings)

    def _opened(
        self, labelled: LabelledClip, geometry: FrameGeometry, times: Callable[[float], Sequence[float]] | None = None
    ) -> Clip:
        return open_clip(
            labelled.path,
            count=MOMENTS,
            geometry=geometry,
            front_end=self._front_end,
            start_s=labelled.start_s,
            end_s=labelled.end_s,
            times=times,
        )


def draw_times(rng: np.random.Generator, duration_s: float) -> list[float]:
    """Draw a moment in each of 16 equal bins, seconds in order of time; a sixteenth is exact, so none lies outside."""
    times: list[float] = ((np.arange(MOMENTS) + rng.random(MOMENTS)) * (duration_s / MOMENTS)).tolist()
    return times


def _check_labels(clip: LabelledClip, rows: dict[str, int], *, single: bool) -> None:
    unknown = [label for label in clip.labels if label not in rows]
    if unknown:
        raise DataError(clip.name, f"its label {unknown[0]!r} is none of the data set's", "check the labels")
    if single and len(clip.labels) != 1:
        raise DataError(clip.name, f"it has {len(clip.labels)} labels in a single-label data set", "give it one")


def _frames(clip: Clip) -> NDArray[np.uint8]:
    if not clip.has_video:
        raise ClipError(clip.name, "it has no video", "leave it out: training needs frames")
    return np.stack(clip.frames(range(MOMENTS)))


class Order(Sampler[list[Key]]):
    """The batches of one epoch after another, as lists of keys; `start_at` says which epoch, and where in it.

    All clips in their own order, the last batch as short as it comes: for validation. Of `world` processes each has
    every `world`-th batch, from batch `rank` on.
    """

    def __init__(self, clips: int, batch: int, *, rank: int = 0, world: int = 1) -> None:
        if batch < 1 or not 0 <= rank < world:
            raise ValueError(f"there are no batches of {batch} for process {rank} of {world}")
        self._clips, self._batch = clips, batch
        self._rank, self._world = rank, world
        self._epoch = self._start = 0

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Make the next pass go over `epoch`, from this process's batch number `batch` on."""
        if epoch < 0 or not 0 <= batch <= len(self):
            raise ValueError(f"there is no batch {batch} in epoch {epoch}: epochs have {len(self)}")
        self._epoch, self._start = epoch, batch

    @property
    def clips_an_epoch(self) -> int:
        """How many clips this process has in a whole epoch."""
        return sum(len(self._places(number)) for number in range(len(self)))

    def __len__(self) -> int:
        """Count this process's batches in a whole epoch, wherever the next pass starts."""
        return len(range(self._rank * self._batch, self._clips, self._world * self._batch))

    def __iter__(self) -> Iterator[list[Key]]:
        epoch, clips = self._epoch, self._clips_in_order()
        for number in range(self._start, len(self)):
            yield [(epoch, int(clips[place])) for place in self._places(number)]

    def _clips_in_order(self) -> NDArray[np.int64]:
        return np.arange(self._clips)

    def _places(self, number: int) -> range:
        first = (number * self._world + self._rank) * self._batch
        return range(first, min(first + self._batch, self._clips))


class ShuffledOrder(Order):
    """Whole batches in an order drawn for each epoch, equally many for each process: for training.

    Step n of all processes together takes the n-th world · batch clips of the epoch's order; the clips left over at
    its end are others in each epoch. Raises DataError where the clips are too few for one step.
    """

    def __init__(self, clips: int, batch: int, *, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        super().__init__(clips, batch, rank=rank, world=world)
        self._seed = seed
        if len(self) == 0:
            where = f" on each of {world} processes" if world > 1 else ""
            raise DataError("training", f"{clips} clips do not fill a batch of {batch}{where}", "use a smaller batch")

    def __len__(self) -> int:
        """Count this process's batches in a whole epoch, which is every process's number."""
        return self._clips // (self._batch * self._world)

    def _clips_in_order(self) -> NDArray[np.int64]:
        return np.random.default_rng((_ORDER_STREAM, self._seed, self._epoch)).permutation(self._clips)


def collate(items: list[Item]) -> LoadedBatch:
    """Put the clips that could be read into a batch, and name the others."""
    samples = [item for item in items if isinstance(item, Sample)]
    failures = tuple(item for item in items if isinstance(item, Failure))
    if not samples:
        return LoadedBatch(None, (), failures)
    batch = Batch(
        torch.from_numpy(np.stack([sample.frames for sample in samples])),
        torch.from_numpy(np.stack([sample.spectrograms for sample in samples])),
        torch.from_numpy(np.stack([sample.heard for sample in samples])),
        torch.from_numpy(np.stack([sample.target for sample in samples])),
    )
    warnings = tuple(f"{sample.name}: {text}" for sample in samples for text in sample.warnings)
    return LoadedBatch(batch, tuple(sample.name for sample in samples), failures, warnings)


def make_loader(
    clips: Dataset[Item], order: Order, workers: int = 0, prefetch: int = 2, *, pin_memory: bool = False
) -> DataLoader[Item]:
    """Decode batches in `workers` processes, each `prefetch` batches ahead; to be read with `epoch_batches`.

    The processes are started once and live as long as the loader; with 0 workers this process decodes when asked.
    They are spawned: a fork would copy the locks that PyTorch's and FFmpeg's threads hold, and hang now and then,
    and a fork server is not to be had on every system. DataLoader gives each of them one PyTorch thread.
    `pin_memory` is for CUDA. PyTorch's global generator is left alone.
    """
    return DataLoader(
        clips,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=prefetch if workers else None,
        persistent_workers=workers > 0,
        # DataLoader draws a number at the start of each pass: a resumed epoch must not draw one more than a whole one.
        generator=torch.Generator(),
        worker_init_fn=_begin_worker,
    )


def _begin_worker(_worker: int) -> None:
    obey_parent_alone()


def epoch_batches(loader: DataLoader[Item], epoch: int, start_batch: int = 0) -> Iterator[LoadedBatch]:
    """Yield the batches of one epoch from `start_batch` on; those before are not decoded.

    Raises DataError as soon as more than a tenth of this process's clips of the epoch have failed, and where a worker
    has died.
    """
    order = loader.batch_sampler
    if not isinstance(order, Order):
        raise TypeError("epoch_batches reads the loaders of make_loader")
    order.start_at(epoch, start_batch)
    clips, failures = order.clips_an_epoch, list[Failure]()
    with worker_deaths():
        with kept_from_children():
            batches = iter(loader)
        for loaded in batches:
            failures += loaded.failures
            if len(failures) > MOST_FAILURES * clips:
                raise DataError(
                    f"{len(failures)} of {clips} clips",
                    "they cannot be used: " + "; ".join(failure.error for failure in failures[:3]),
                    "repair them or leave them out: a tenth of an epoch may fail",
                )
            yield loaded


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Raise DataError where a worker dies: PyTorch raises RuntimeError then, whatever this process is doing."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):  # else it is a fault inside a worker
            raise
        raise DataError(
            "decoding ahead",
            "a worker process died, most likely for want of memory",
            "use fewer workers or a smaller batch; in a container, give more shared memory",
        ) from error
