"""AVGN's recipe: one stage in which the whole network learns (3.4, C.1), and how a network begins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, replace
from functools import partial

import torch
from torch import Tensor

from avgn_edge._base.errors import BundleError, DataError
from avgn_edge.architectures.avgn.network import checkpoint
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.encoders import lay_out
from avgn_edge.architectures.avgn.network.settings import Settings, preset
from avgn_edge.architectures.avgn.training.objective import AvgnObjective
from avgn_edge.architectures.avgn.training.training_settings import LearningRates, TrainingSettings, without
from avgn_edge.architectures.avgn.training.validate import answers
from avgn_edge.architectures.backbones import published
from avgn_edge.architectures.weights import load_backbone
from avgn_edge.data.datasets import DataSet
from avgn_edge.media.frames import FrameGeometry
from avgn_edge.training.batches import Batch
from avgn_edge.training.clip_source import TrainingClips
from avgn_edge.training.stages import BatchSource, Recipe, Stage
from avgn_edge.training.train_options import TrainOptions

ADAMW = TrainingSettings(
    optimiser="adamw",
    weight_decay=1e-2,
    rates=LearningRates(glance=1e-4, local=1e-4, classifier=5e-4, policy=5e-4, saliency=5e-4),
    warmup=0.1,
    clip_norm=5.0,
)
"""What AdamW begins with; SGD's settings are the paper's."""

_GROUPS = {
    "global_encoder": "glance",
    "audio_encoder": "glance",
    "local_encoder": "local",
    "policy": "policy",
    "aespa": "policy",
    "av_test": "saliency",
    "mask_encoder": "saliency",
}
"""At which of the `LearningRates` a module of `AVGN` learns; all others learn at `classifier`."""

_CLASS_AXIS = {"classifier": 1, "visual_classifier": 1, "audio_classifier": 1, "fc_g": 0, "fc_l": 0, "fc_a": 0}
"""The heads, whose weights and biases have a row for each class, and the axis of the classes."""

SOURCE_SCALE = 2
"""How many times as wide as the glance the frame is that looks at the source's pixels are cut from. A patch of 128
pixels covers 0.29 of the frame's side in place of 0.57."""


def recipe(asked: TrainOptions, clips: TrainingClips) -> Recipe:
    """Return what `avgn-edge train` does for AVGN.

    Args:
        asked: what the user chose.
        clips: what to learn from, and to validate on at the network's own glances and looks, without early exit.

    Raises:
        DataError: choices do not go together, or there are too few clips.
        BundleError: a file of weights does not fit.
    """
    settings = choose_settings(asked, clips.device)
    model, settings, new = make_model(asked, settings, clips.data)
    notes = [f"{', '.join(settings.frozen)} frozen"] if settings.frozen else []
    if new is not None:
        notes.append(f"labels new to it: {_some(new)}" if new else "all labels known to it")

    def answer(batch: Batch) -> Tensor:
        return answers(model, [batch]).looks.probabilities[:, -1]

    sound = model.settings.front_end
    picture = FrameGeometry(model.settings.resize, model.settings.frame_size)
    source, validate = clips.source(sound, picture), clips.validation(answer, sound, picture)
    made = recipe_of(model, source, settings, validate=validate, data=clips.fingerprint())
    return replace(made, notes=tuple(notes))


def recipe_of(
    model: AVGN,
    source: BatchSource,
    settings: TrainingSettings,
    *,
    validate: Callable[[], Mapping[str, float]] | None = None,
    data: str = "",
) -> Recipe:
    """Return the recipe that trains a network from any source.

    Args:
        model: the network as it begins; its encoders are laid out for speed.
        source: the batches.
        settings: how it learns.
        validate: see `Recipe`.
        data: a fingerprint of the data; a run does not go on with others.

    Raises:
        ValueError: the network has no module of a name in `settings`, or guidance and several labels a clip.
    """
    modules = dict.fromkeys(name.partition(".")[0] for name, _ in model.named_parameters())
    unknown = {*settings.frozen} - {*modules}
    if unknown:
        raise ValueError(f"the network has no module {min(unknown)!r}")
    for encoder in (model.audio_encoder, model.global_encoder, model.local_encoder):
        lay_out(encoder)
    learning = [name for name in modules if name not in settings.frozen]
    rates = {name: getattr(settings.rates, _GROUPS.get(name, "classifier")) for name in learning}
    stage = Stage(
        "training",
        AvgnObjective(model, settings),
        rates,
        source,
        settings.epochs,
        settings,
        settings.fixed_statistics,
    )
    return Recipe(
        model,
        (stage,),
        save=partial(checkpoint.save, model),
        identity={"network": json.loads(model.settings.to_json()), "training": asdict(settings), "data": data},
        validate=validate,
        seed=settings.seed,
    )


def choose_settings(asked: TrainOptions, device: torch.device) -> TrainingSettings:
    """Return how to train; `without` and what needs the network are left to `make_model`."""
    base = TrainingSettings() if asked.optimiser == "sgd" else ADAMW
    return replace(
        base,
        epochs=asked.epochs,
        batch=asked.batch,
        seed=asked.seed,
        rates=LearningRates(*(rate * asked.lr_scale for rate in astuple(base.rates))),
        losses=replace(base.losses, guidance=asked.guidance, random_crop=asked.random_crop),
        looks=asked.looks,
        frozen=asked.freeze,
        precision=asked.precision_on(device),
    )


def make_model(
    asked: TrainOptions, settings: TrainingSettings, data: DataSet
) -> tuple[AVGN, TrainingSettings, tuple[str, ...] | None]:
    """Make the network with the weights it begins with.

    Returns:
        The network, the settings without what `asked.without` switches off, and the labels that the checkpoint it
        begins from does not know, None where it begins from none.

    Raises:
        DataError: choices do not go together.
        BundleError: a file does not fit.
    """
    if settings.losses.guidance and data.task == "multi-label":
        raise DataError("--guidance", "it needs one label a clip, and these clips have several", "leave it out")
    trained = None if asked.init is None else checkpoint.load(asked.init)
    network = _network(asked, data) if trained is None else _like(trained, asked, data)
    try:
        network, settings = without(asked.without, network, settings)
    except ValueError as error:
        raise DataError("--without", str(error), "name one of these") from error
    if not any(astuple(settings.losses)):
        raise DataError("--without", "no loss is left", "keep one")
    torch.manual_seed(settings.seed)
    try:
        model = AVGN(network)
    except ValueError as error:  # a backbone that takes no such pictures
        raise DataError("an encoder by name", str(error), "name another one") from error
    modules = [name for name, _ in model.named_children()]
    for name in settings.frozen:
        if name not in modules:
            raise DataError(f"--freeze {name}", "the network has no such module", f"name one of {', '.join(modules)}")
    _load_encoders(model, asked)
    if trained is None:
        return model, settings, None
    try:
        return model, settings, take_weights(model, trained)
    except ValueError as error:
        raise BundleError(f"--init {asked.init}", str(error), "leave --without out, or begin anew") from error


def _network(asked: TrainOptions, data: DataSet) -> Settings:
    network = preset(asked.preset or "small", data.labels, data.task)
    shrink = SOURCE_SCALE if asked.look_from == "source" else 1
    try:
        return replace(
            network,
            audio_backbone=asked.audio_encoder or network.audio_backbone,
            global_backbone=asked.glance_encoder or network.global_backbone,
            local_backbone=asked.look_encoder or network.local_backbone,
            frame_size=shrink * network.frame_size,
            glance_shrink=shrink,
        )
    except ValueError as error:
        raise DataError("an encoder by name", str(error), "name one of these") from error


def _like(trained: AVGN, asked: TrainOptions, data: DataSet) -> Settings:
    """The network of a checkpoint, for other labels."""
    encoders = (asked.audio_encoder, asked.glance_encoder, asked.look_encoder)
    for what, chosen in (
        ("--preset", asked.preset),
        ("--look-from", asked.look_from),
        ("an encoder by name", next(filter(None, encoders), None)),
    ):
        if chosen is not None:
            raise DataError(what, "the network is the one of --init", "leave one of them out")
    return replace(trained.settings, labels=data.labels, task=data.task)


def _load_encoders(model: AVGN, asked: TrainOptions) -> None:
    """Begin with published weights: a file that was given, else, of a new network, what is installed for a backbone."""
    network = model.settings
    for encoder, name, given in (
        (model.audio_encoder, network.audio_backbone, None),
        (model.global_encoder, network.global_backbone, asked.imagenet),
        (model.local_encoder, network.local_backbone, asked.imagenet_local),
    ):
        file = given or (published(name) if asked.init is None else None)
        if file is not None:
            load_backbone(encoder.backbone, file)


def take_weights(model: AVGN, trained: AVGN) -> tuple[str, ...]:
    """Copy the weights of a trained network into another.

    The heads keep what they know of labels that both have, by name; the rows of the others stay as they are, new.

    Returns:
        The labels that `trained` does not know.

    Raises:
        ValueError: the networks differ in more than their labels.
    """
    here, there = model.settings.labels, trained.settings.labels
    known = [(row, there.index(label)) for row, label in enumerate(here) if label in there]
    rows = torch.tensor([row for row, _ in known], dtype=torch.int64)
    sources = torch.tensor([source for _, source in known], dtype=torch.int64)
    own, weights = model.state_dict(), dict(trained.state_dict())
    heads = {f"{head}.{part}": axis for head, axis in _CLASS_AXIS.items() for part in ("weight", "bias")}
    # The width of a head is that of the layer before it, which is looked at here.
    others = [name for name in own if name in weights and name not in heads]
    wrong = sorted({*own} ^ {*weights}) or [name for name in others if own[name].shape != weights[name].shape]
    if wrong:
        raise ValueError(f"its parameters do not fit, for example {wrong[0]}")
    for name, axis in heads.items():
        weights[name] = own[name].clone().index_copy_(axis, rows, weights[name].index_select(axis, sources))
    model.load_state_dict(weights)
    return tuple(label for label in here if label not in there)


def _some(names: Sequence[str]) -> str:
    few = ", ".join(names[:5])
    return f"{few} and {len(names) - 5} more" if len(names) > 5 else few
