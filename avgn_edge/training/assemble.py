"""From what a user asks for to everything that training needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from avgn_edge._base.errors import BundleError, DataError, DeviceError
from avgn_edge._base.text import Task
from avgn_edge.architectures.avgn.network import checkpoint
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.settings import Preset, Settings, preset
from avgn_edge.architectures.weights import load_backbone
from avgn_edge.data.datasets import DataSet
from avgn_edge.data.evaluation.metrics import mean_average_precision, top_k_accuracy
from avgn_edge.engines.select import Device
from avgn_edge.training.batches import Augmentation, Batch
from avgn_edge.training.clip_loader import (
    ClipMoments,
    LoaderSource,
    Order,
    ShuffledOrder,
    epoch_batches,
    make_loader,
)
from avgn_edge.training.distributed import World
from avgn_edge.training.training_settings import (
    LearningRates,
    Optimiser,
    Precision,
    TrainingSettings,
    without,
)
from avgn_edge.training.validate import answers

_CLASS_AXIS = {
    "classifier.weight": 1,  # [moments, C, dim]
    "classifier.bias": 1,
    "visual_classifier.weight": 1,
    "visual_classifier.bias": 1,
    "audio_classifier.weight": 1,
    "audio_classifier.bias": 1,
    "fc_g.weight": 0,
    "fc_g.bias": 0,
    "fc_l.weight": 0,
    "fc_l.bias": 0,
    "fc_a.weight": 0,
    "fc_a.bias": 0,
}
"""The parameters with a row for each class, and the axis of the classes."""


def relabelled(settings: Settings, labels: tuple[str, ...], task: Task) -> Settings:
    """Return the settings of the same network for other labels."""
    return replace(settings, labels=labels, task=task)


def take_weights(model: AVGN, trained: AVGN) -> tuple[str, ...]:
    """Copy the weights of `trained` into `model`; return the labels that `trained` does not know.

    The heads keep what they know of labels that both have, by name; the rows of the others stay as they are, new.
    ValueError where the networks differ in more than their labels.
    """
    here, there = model.settings.labels, trained.settings.labels
    known = [(row, there.index(label)) for row, label in enumerate(here) if label in there]
    rows = torch.tensor([row for row, _ in known], dtype=torch.int64)
    sources = torch.tensor([source for _, source in known], dtype=torch.int64)
    own, weights = model.state_dict(), dict(trained.state_dict())
    # The width of a head is that of the layer before it, which is looked at here.
    others = [name for name in own if name in weights and name not in _CLASS_AXIS]
    wrong = sorted({*own} ^ {*weights}) or [name for name in others if own[name].shape != weights[name].shape]
    if wrong:
        raise ValueError(f"its parameters do not fit, for example {wrong[0]}")
    for name, axis in _CLASS_AXIS.items():
        weights[name] = _with_rows(own[name], weights[name], axis, rows, sources)
    model.load_state_dict(weights)
    return tuple(label for label in here if label not in there)


def _with_rows(new: Tensor, old: Tensor, axis: int, rows: Tensor, sources: Tensor) -> Tensor:
    return new.clone().index_copy_(axis, rows, old.index_select(axis, sources))


ADAMW = TrainingSettings(
    optimiser="adamw",
    weight_decay=1e-2,
    rates=LearningRates(glance=1e-4, local=1e-4, classifier=5e-4, policy=5e-4, saliency=5e-4),
    warmup=0.1,
    clip_norm=5.0,
)
"""What AdamW begins with; SGD's settings are the paper's."""


@dataclass(frozen=True)
class TrainOptions:
    """What a user may choose, beside the data; None leaves a choice to us."""

    preset: Preset | None = None
    epochs: int = 50
    batch: int = 24
    seed: int = 0
    optimiser: Optimiser = "sgd"
    lr_scale: float = 1.0
    precision: Precision | None = None
    looks: int | None = None
    guidance: float = 0.0
    random_crop: float = 0.0
    flip: bool = True
    without: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    imagenet: Path | None = None
    imagenet_local: Path | None = None
    init: Path | None = None


def choose_device(text: str, world: World) -> torch.device:
    """Return PyTorch's device for `auto`, `cpu` or `cuda[:N]`; each process of a machine has a GPU of its own.

    DeviceError for one that is not there: nothing falls back in silence.
    """
    asked = Device.parse(text)
    if asked.kind not in {"auto", "cpu", "cuda"}:
        raise DeviceError(f"device {asked}", "PyTorch trains on CPUs and CUDA GPUs", "choose auto, cpu or cuda[:N]")
    if asked.kind == "cpu" or (asked.kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError(
            f"device {asked}", "this PyTorch finds no CUDA GPU", "choose cpu, or install PyTorch for CUDA"
        )
    index = world.local_rank if world.size > 1 else asked.index
    if index >= torch.cuda.device_count():
        there = f"there are {torch.cuda.device_count()} GPUs"
        raise DeviceError(f"device cuda:{index}", there, "choose another, or start fewer processes")
    return torch.device("cuda", index)


def choose_settings(asked: TrainOptions, device: torch.device) -> TrainingSettings:
    """Return how to train; `without` and what needs the network are left to `make_model`."""
    base = TrainingSettings() if asked.optimiser == "sgd" else ADAMW
    precision = asked.precision
    if precision is None:
        half = device.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bfloat16" if half else "float32"
    return replace(
        base,
        epochs=asked.epochs,
        batch=asked.batch,
        seed=asked.seed,
        rates=LearningRates(*(rate * asked.lr_scale for rate in astuple(base.rates))),
        losses=replace(base.losses, guidance=asked.guidance, random_crop=asked.random_crop),
        looks=asked.looks,
        frozen=asked.freeze,
        precision=precision,
    )


@dataclass(frozen=True)
class Begun:
    """A network before its first step."""

    model: AVGN
    settings: TrainingSettings
    new_labels: tuple[str, ...] | None = None
    """Those that the checkpoint it begins from does not know; None where it begins from none."""


def make_model(asked: TrainOptions, settings: TrainingSettings, data: DataSet) -> Begun:
    """Make the network with the weights it begins with; its seed is the settings'.

    DataError or BundleError for choices that do not go together, and for files that do not fit.
    """
    if settings.losses.guidance and data.task == "multi-label":
        raise DataError("--guidance", "it needs one label a clip, and these clips have several", "leave it out")
    trained = None if asked.init is None else checkpoint.load(asked.init)
    if trained is not None and asked.preset is not None:
        raise DataError("--preset", "the network is the one of --init", "leave one of them out")
    network = preset(asked.preset or "small", data.labels, data.task)
    if trained is not None:
        network = relabelled(trained.settings, data.labels, data.task)
    try:
        network, settings = without(asked.without, network, settings)
    except ValueError as error:
        raise DataError("--without", str(error), "name one of these") from error
    if not any(astuple(settings.losses)):
        raise DataError("--without", "no loss is left", "keep one")
    torch.manual_seed(settings.seed)
    model = AVGN(network)
    modules = [name for name, _ in model.named_children()]
    for name in settings.frozen:
        if name not in modules:
            raise DataError(f"--freeze {name}", "the network has no such module", f"name one of {', '.join(modules)}")
    if asked.imagenet is not None:
        load_backbone(model.global_encoder.backbone, asked.imagenet)
    if asked.imagenet_local is not None:
        load_backbone(model.local_encoder.backbone, asked.imagenet_local)
    if trained is None:
        return Begun(model, settings)
    try:
        return Begun(model, settings, take_weights(model, trained))
    except ValueError as error:
        raise BundleError(f"--init {asked.init}", str(error), "leave --without out, or begin anew") from error


def training_source(
    data: DataSet,
    asked: TrainOptions,
    device: torch.device,
    world: World,
    workers: int,
    tell: Callable[[str], None],
) -> LoaderSource:
    """Return the batches to train on. DataError where there are too few clips for one."""
    clips = ClipMoments(data, augmentation(asked), asked.seed)
    order = ShuffledOrder(len(clips), asked.batch, seed=asked.seed, rank=world.rank, world=world.size)
    loader = make_loader(clips, order, workers, pin_memory=device.type == "cuda")
    return LoaderSource(loader, tell)


def augmentation(asked: TrainOptions) -> Augmentation:
    """Return the paper's augmentation."""
    return Augmentation(flip=asked.flip)


def fingerprint(data: DataSet, asked: TrainOptions) -> str:
    """Hash what is learned from: clips, labels, the sizes of files, and the augmentation; not where the files lie."""
    rows = [(clip.name, clip.labels, clip.start_s, clip.end_s, clip.path.stat().st_size) for clip in data.clips]
    content = json.dumps([rows, data.labels, data.task, repr(augmentation(asked))])
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True)
class Validator:
    """Scores a network on held-out clips at the network's own glances and looks, in float32, without early exit."""

    data: DataSet
    batch: int
    workers: int
    device: torch.device

    @property
    def precise(self) -> bool:
        """Whether mAP can be had: it needs scikit-learn."""
        return find_spec("sklearn") is not None

    def __call__(self, model: AVGN) -> Mapping[str, float]:
        """Return mAP (clips with several labels) and top-1, as shares."""
        probabilities, truth = [], []
        for batch in self._batches():
            done = answers(model, [batch.to(self.device)])
            probabilities.append(done.looks.probabilities[:, -1].float().numpy())
            truth.append(_flags(done.target, len(model.settings.labels)))
        likely, true = np.concatenate(probabilities), np.concatenate(truth)
        scores = {"top1": top_k_accuracy(likely, true, 1)}
        if self.data.task == "single-label" or not self.precise:
            return scores
        return {"mAP": mean_average_precision(likely, true).value or 0.0, **scores}

    def _batches(self) -> Iterator[Batch]:
        # Workers are started for each validation: kept, they would hold memory that training wants.
        clips = ClipMoments(self.data, None)
        loader = make_loader(clips, Order(len(clips), self.batch), self.workers, pin_memory=self.device.type == "cuda")
        for loaded in epoch_batches(loader, 0):
            if loaded.batch is not None:
                yield loaded.batch


def _flags(target: torch.Tensor, classes: int) -> np.typing.NDArray[np.bool_]:
    several = target if target.dim() == 2 else torch.nn.functional.one_hot(target, classes)
    return (several > 0).numpy()
