"""Labelled clips, as a recipe takes its batches and its validation from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets import DataSet
from avgn_edge.data.evaluation.metrics import mean_average_precision, top_k_accuracy
from avgn_edge.media.frames import DEFAULT_GEOMETRY, FrameGeometry
from avgn_edge.media.front_ends import YAMNET, FrontEnd
from avgn_edge.training.batches import Augmentation, Batch
from avgn_edge.training.clip_loader import ClipMoments, Item, Order, ShuffledOrder, epoch_batches, make_loader
from avgn_edge.training.distributed import World
from avgn_edge.training.train_options import TrainOptions


class LoaderSource:
    """A `BatchSource` of encoded clips.

    Args:
        loader: what `make_loader` made.
        tell: is given a line for every clip that failed or had something wrong with it, once each.
    """

    def __init__(self, loader: DataLoader[Item], tell: Callable[[str], None]) -> None:
        self._loader = loader
        self._tell = tell
        self._told: set[str] = set()

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return len(self._loader)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch; DataError when no clip of a batch could be read."""
        for loaded in epoch_batches(self._loader, number, first):
            for text in (*(failure.error for failure in loaded.failures), *loaded.warnings):
                if text not in self._told:
                    self._told.add(text)
                    self._tell(text)
            if loaded.batch is None:
                names = ", ".join(failure.name for failure in loaded.failures[:3])
                raise DataError("a batch", f"none of its clips could be read, among them {names}", "repair them")
            yield loaded.batch


@dataclass(frozen=True)
class TrainingClips:
    """The clips to train on and those held out."""

    data: DataSet
    held_out: DataSet | None
    asked: TrainOptions
    device: torch.device
    world: World
    workers: int
    """Processes that decode."""
    tell: Callable[[str], None]
    """Is given a line for each clip that is not as it should be."""

    @property
    def augmentation(self) -> Augmentation:
        """The paper's, but for what was chosen."""
        return Augmentation(flip=self.asked.flip)

    def source(self, front_end: FrontEnd = YAMNET, geometry: FrameGeometry = DEFAULT_GEOMETRY) -> LoaderSource:
        """Return the batches to train on, as a network hears and sees; DataError where clips are too few for one."""
        asked, world = self.asked, self.world
        clips = ClipMoments(self.data, self.augmentation, asked.seed, front_end, geometry)
        order = ShuffledOrder(len(clips), asked.batch, seed=asked.seed, rank=world.rank, world=world.size)
        loader = make_loader(clips, order, self.workers, pin_memory=self.device.type == "cuda")
        return LoaderSource(loader, self.tell)

    def fingerprint(self) -> str:
        """Hash what is learned from: clips, labels, sizes of files, and augmentation; not where the files lie."""
        data = self.data
        rows = [(clip.name, clip.labels, clip.start_s, clip.end_s, clip.path.stat().st_size) for clip in data.clips]
        content = json.dumps([rows, data.labels, data.task, repr(self.augmentation)])
        return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()

    def validation(
        self,
        answer: Callable[[Batch], Tensor],
        front_end: FrontEnd = YAMNET,
        geometry: FrameGeometry = DEFAULT_GEOMETRY,
    ) -> Callable[[], Mapping[str, float]] | None:
        """Return what scores a network on the clips that are held out; None where there are none.

        Args:
            answer: from a batch on the device to probabilities, float [b, C].
            front_end: the network's, and so is `geometry`.
            geometry: of its frames.

        Returns:
            A function of mAP, where clips have several labels and scikit-learn is installed, and top-1, as shares.
        """
        return None if self.held_out is None else partial(self._scores, self.held_out, answer, front_end, geometry)

    def _scores(
        self, held_out: DataSet, answer: Callable[[Batch], Tensor], front_end: FrontEnd, geometry: FrameGeometry
    ) -> Mapping[str, float]:
        clips, pinned = ClipMoments(held_out, None, front_end=front_end, geometry=geometry), self.device.type == "cuda"
        # Workers are started for each validation: kept, they would hold memory that training wants.
        loader = make_loader(clips, Order(len(clips), self.asked.batch), self.workers, pin_memory=pinned)
        probabilities, truth = [], []
        for loaded in epoch_batches(loader, 0):
            if loaded.batch is not None:
                target = loaded.batch.target
                several = target if target.dim() == 2 else one_hot(target, len(held_out.labels))
                probabilities.append(answer(loaded.batch.to(self.device)).float().cpu().numpy())
                truth.append((several > 0).numpy())
        likely, true = np.concatenate(probabilities), np.concatenate(truth)
        scores = {"top1": top_k_accuracy(likely, true, 1)}
        if held_out.task == "single-label" or not can_rank():
            return scores
        return {"mAP": mean_average_precision(likely, true).value or 0.0, **scores}


def can_rank() -> bool:
    """Whether mAP can be had: it needs scikit-learn."""
    return find_spec("sklearn") is not None
