"""The recipe of the packaged bundle: `python -m recipes.digits --help`.

Composes "digits in the wild" straight to arrays, warms the encoders up on single moments, and trains everything behind
them on clip labels with the losses of section 3.4: a schedule for two CPU cores. f_A and f_G stay as the warm start
left them, so that what they say of a clip is computed once.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from avgn_edge.architectures.avgn.network.avgn import AVGN
from avgn_edge.architectures.avgn.network.settings import preset
from avgn_edge.architectures.avgn.training.recipe import recipe_of
from avgn_edge.architectures.avgn.training.training_settings import (
    LearningRates,
    LossWeights,
    TrainingSettings,
    without,
)
from avgn_edge.architectures.avgn.training.validate import answers
from avgn_edge.architectures.weights import load_backbone
from avgn_edge.data.synth.clip_plan import Variation
from avgn_edge.data.synth.sources import Sources
from avgn_edge.training.monitor import LogMonitor
from avgn_edge.training.run import check_output, train
from recipes.digits import pool as pools
from recipes.digits import warm_start as warm
from recipes.digits.evidence import when_and_where
from recipes.digits.pool import FeaturePool, PoolSource, encode_pool

_LOG = logging.getLogger("avgn_edge.training")

RECIPE = TrainingSettings(
    epochs=6,
    optimiser="adamw",
    weight_decay=1e-2,
    rates=LearningRates(glance=0.0, local=1e-4, classifier=5e-4, policy=5e-4, saliency=5e-4),
    warmup=0.1,
    clip_norm=5.0,
    losses=LossWeights(guidance=10.0),
    looks=8,
    frozen=("audio_encoder", "global_encoder"),
    fixed_statistics=("local_encoder",),
    precision="bfloat16",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m recipes.digits", description=__doc__)
    parser.add_argument("--objects", type=Path, help="a folder of pictures a class; without it, glyphs are drawn")
    parser.add_argument("--sounds", type=Path, help="a folder of recordings a class; without it, tones are made")
    parser.add_argument("--backgrounds", type=Path, help="a folder of photographs; without it, textures are drawn")
    parser.add_argument("--environment", type=Path, help="a folder of field recordings; without it, noise is made")
    parser.add_argument("--imagenet", type=Path, help="MobileNetV2 weights for f_G and f_L, torchvision's names")
    parser.add_argument("--work", type=Path, required=True, help="where composed clips and warm encoders are kept")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--clips", type=int, default=2000, help="the first so many, where more are composed already")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--looks", type=int, default=RECIPE.looks, help="moments of a clip that f_L sees in a step")
    parser.add_argument("--warm-clips", type=int, default=2400)
    parser.add_argument("--val-clips", type=int, default=300)
    parser.add_argument("--warm-epochs", type=int, nargs=3, default=(16, 3, 4), metavar=("AUDIO", "GLOBAL", "LOCAL"))
    parser.add_argument("--only", choices=("audio", "global", "local"), help="warm one encoder, for runs side by side")
    parser.add_argument(
        "--without", action="append", default=[], metavar="PART", help="an ablation; may be given several times"
    )
    parser.add_argument("--guidance", type=float, default=RECIPE.losses.guidance, help="weight of the hint for π")
    parser.add_argument("--random-crop", type=float, default=0.0, help="weight of AdaFocusV2's second, random patch")
    parser.add_argument("--whole-clip-targets", action="store_true", help="ψ hears all of the clip in Eq. 11")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _warm_part(model: AVGN, name: str, options: argparse.Namespace, train_pool: pools.Pool, val: pools.Pool) -> None:
    """Warm up one encoder, or read it where an earlier run left it."""
    path = options.work / f"{name}.pt"
    encoder, head = warm.heads(model)[name]
    if path.exists():
        state = torch.load(path, weights_only=True)
        encoder.load_state_dict(state["encoder"])
        head.load_state_dict(state["head"])
        return
    classes = len(model.settings.labels)
    make = {"audio": warm.audio_batches, "global": warm.frame_batches, "local": warm.patch_batches}[name]
    epochs = options.warm_epochs[("audio", "global", "local").index(name)]
    if name == "audio":  # from random weights; the other two begin with ImageNet's
        settings = warm.WarmStart(epochs, batch=64, learning_rate=0.05, bfloat16=False)
    else:
        settings = warm.WarmStart(epochs, batch=32 if name == "global" else 64, learning_rate=0.02)
    steps = warm.batches_an_epoch(train_pool.spoken if name == "audio" else train_pool.seen, settings.batch)
    batches = partial(make, train_pool, classes, settings.batch)
    warm.warm_start(encoder, head, batches, settings, steps, options.seed, lambda text: _LOG.info("%s: %s", name, text))
    score = warm.accuracy(encoder, head, make(val, classes, 32, np.random.default_rng(0)))
    _LOG.info("%s: top-1 of held-out moments with evidence %.3f", name, score)
    torch.save({"encoder": encoder.state_dict(), "head": head.state_dict()}, path)


def _encoded(model: AVGN, pool: pools.Pool, path: Path) -> FeaturePool:
    return FeaturePool.open(pool, path) if path.exists() else encode_pool(model, pool, path)


def _validate(held_out: FeaturePool, model: AVGN) -> Mapping[str, float]:
    done = answers(model, held_out.in_order())
    when, where = when_and_where(done.looks, held_out.pool, model.settings.patch_size)
    return {"top1": done.top1(model.settings.looks), "top1 after 2": done.top1(2), "when": when, "where": where}


def main() -> None:
    """Compose, warm up, train, save."""
    options = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.only is None:
        check_output(options.output, resume=options.resume)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    sources = Sources.from_folders(options.objects, options.sounds, options.backgrounds, options.environment)
    train_media, val_media = sources.split("train"), sources.split("val")
    compose = pools.compose_pool
    seeds = [int(seed) for seed in np.random.SeedSequence(options.seed).generate_state(4)]
    varied, work = Variation(), options.work
    warm_train = compose(work / "warm", train_media, options.warm_clips, seeds[0], pools.half_in_episodes, varied)
    warm_val = compose(work / "warm-val", val_media, min(100, options.warm_clips), seeds[1], pools.half_in_episodes)
    settings = replace(RECIPE, epochs=options.epochs, looks=options.looks, own_moment=not options.whole_clip_targets)
    settings = replace(
        settings,
        losses=replace(settings.losses, guidance=options.guidance, random_crop=options.random_crop),
        seed=options.seed,
    )
    network, settings = without(options.without, preset("small", sources.classes), settings)
    model = AVGN(network)
    if options.imagenet is not None:
        load_backbone(model.global_encoder.backbone, options.imagenet)
        load_backbone(model.local_encoder.backbone, options.imagenet)
    for name in ("audio", "local", "global"):
        if options.only in (None, name):
            _warm_part(model, name, options, warm_train, warm_val)
    if options.only is not None:
        return
    clips = compose(work / "clips", train_media, options.clips, seeds[2], pools.one_a_bin, varied)
    val = compose(work / "clips-val", val_media, options.val_clips, seeds[3], pools.bin_centres)
    data = _encoded(model, clips, work / "features.npy")
    held_out = _encoded(model, val, work / "features-val.npy")
    _LOG.info("encoded %d clips for training and %d to check with", len(clips), len(val))
    recipe = recipe_of(
        model,
        PoolSource(data, settings.batch, options.seed, min(options.clips, len(clips))),
        settings,
        validate=partial(_validate, held_out, model),
        data=f"{options.clips} of {len(clips)} composed clips, seed {options.seed}",
    )
    cpu = torch.device("cpu")
    train(recipe, options.output, resume=options.resume, monitor=LogMonitor(_LOG), device=cpu)
    _LOG.info("wrote %s", options.output)


if __name__ == "__main__":
    main()
