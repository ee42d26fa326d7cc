"""What the tests of training runs share: a network for small frames, random batches, and a monitor that remembers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from network_makers import LABELS, tiny_settings

from avgn_edge.architectures.avgn.network import checkpoint
from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.training.objective import AvgnObjective
from avgn_edge.architectures.avgn.training.recipe import recipe_of
from avgn_edge.architectures.avgn.training.training_settings import LearningRates, LossWeights, TrainingSettings
from avgn_edge.training.batches import Batch
from avgn_edge.training.monitor import Monitor
from avgn_edge.training.run import train
from avgn_edge.training.stages import Optimisation, Recipe, Stage

SIDE = 64
SETTINGS = TrainingSettings(
    epochs=2, batch=2, rates=LearningRates(1e-3, 2e-3, 1e-2, 2e-4, 1e-2), looks=4, all_looks_every=3, clip_norm=5.0
)

EVERY_STEP = {"save_every_s": 0.0}
"""Asks a run for a state after each step, for tests of what is left when one is killed."""


def small_model(seed=0, **changes):
    torch.manual_seed(seed)
    return AVGN(tiny_settings(frame_size=SIDE, patch_size=32, **changes))


def random_batch(seed, task="single-label"):
    rng = np.random.default_rng(seed)
    classes = len(LABELS)
    target = rng.integers(0, classes, 2) if task == "single-label" else rng.integers(0, 2, (2, classes)) + np.float32(0)
    return Batch(
        torch.from_numpy(rng.integers(0, 256, (2, 16, SIDE, SIDE, 3), dtype=np.uint8)),
        torch.from_numpy(rng.normal(-3, 2, (2, 16, 1, 96, 64)).astype(np.float32)),
        torch.from_numpy(rng.random((2, 16)) < 0.8),
        torch.from_numpy(target),
    )


class RandomSource:
    """Random batches, the same for the same epoch and number; `spoil` may change one on its way out."""

    def __init__(self, batches=3, task="single-label", rank=0, spoil=lambda _epoch, _number, batch: batch):
        self.batches = batches
        self._task, self._rank, self._spoil = task, rank, spoil

    def epoch(self, number, first=0):
        for place in range(first, self.batches):
            torch.rand(3)  # whatever a source draws must not matter
            yield self._spoil(number, place, random_batch((self._rank, number, place), self._task))


class Remembers(Monitor):
    """Keeps all it hears."""

    def __init__(self):
        self.steps, self.epochs = {}, {}

    def step(self, epoch, step, _steps, terms):
        self.steps[epoch, step] = dict(terms)

    def epoch_done(self, epoch, means, validation):
        self.epochs[epoch] = dict(means), dict(validation)


def run_training(output, **changes):
    """Train `small_model` on random batches for two epochs of three steps; return the model and what was heard."""
    options = {"resume": False, "monitor": Remembers(), "device": torch.device("cpu"), **changes}
    recipe = options.pop("recipe", None)
    if recipe is None:
        model, source = options.pop("model", None) or small_model(), options.pop("source", None) or RandomSource()
        settings, validation = options.pop("settings", SETTINGS), options.pop("validation", None)
        validate = None if validation is None else partial(validation, model)
        recipe = recipe_of(model, source, settings, validate=validate, data=options.pop("data", ""))
    train(recipe, output, **options)
    return recipe.model, options["monitor"]


ENCODERS = {"global_encoder": 1e-3, "audio_encoder": 1e-3, "fc_g": 1e-2, "fc_a": 1e-2, "no_audio": 1e-2}
BEHIND = dict.fromkeys(("local_encoder", "av_test", "aespa", "policy", "fusion", "classifier", "mask_encoder"), 1e-3)


class Kept:
    """What the encoders say of random batches, computed when an epoch is first asked for."""

    batches = 3

    def __init__(self, model):
        self.model, self.kept, self.asked = model, {}, []

    def epoch(self, number, first=0):
        self.asked.append(number)
        for place, batch in enumerate(RandomSource(self.batches).epoch(0, first), start=first):
            if place not in self.kept:
                with torch.no_grad():
                    maps = self.model.global_encoder.eval()(batch.frames.flatten(0, 1))
                    audio = self.model.audio_encoder.eval()(batch.spectrograms.flatten(0, 1))
                self.kept[place] = replace(batch, maps=maps.unflatten(0, (2, 16)), audio=audio.unflatten(0, (2, 16)))
            yield self.kept[place]


def two_stages(model, first_batches=2):
    """Encoders by their own heads; then all behind them, on features that are computed once."""
    heads = replace(SETTINGS, losses=LossWeights(classification=0, saliency=0, mask=0, ordered=0))
    rest = replace(SETTINGS, losses=LossWeights(audio=0, visual=2.0))
    adamw = Optimisation("adamw", weight_decay=1e-2, warmup=0.2, clip_norm=5.0)
    stages = (
        Stage("encoders", AvgnObjective(model, heads), ENCODERS, RandomSource(first_batches), 2, SETTINGS),
        Stage("behind", AvgnObjective(model, rest), BEHIND, Kept(model), 2, adamw, ("local_encoder",)),
    )
    return Recipe(model, stages, partial(checkpoint.save, model), {"network": "tiny", "data": "random"})


def same_weights(one, other):
    """Whether all parameters and buffers are equal, bit for bit."""
    there = other.state_dict()
    return all(torch.equal(value, there[name]) for name, value in one.state_dict().items())
