"""Trains the packaged bundle's checkpoint: `python -m avgn_edge.training --help`.

A short recipe for two CPU cores. The training command with the paper's schedule is a later step.
"""

from __future__ import annotations

import argparse
import logging
from functools import partial
from pathlib import Path

import numpy as np
import torch

from avgn_edge.models import checkpoint
from avgn_edge.models.avgn import AVGN
from avgn_edge.models.settings import preset
from avgn_edge.models.weights import load_backbone
from avgn_edge.synth.plan import Variation
from avgn_edge.synth.sources import Sources
from avgn_edge.training import pool as pools
from avgn_edge.training import warm_start as warm

_LOG = logging.getLogger("avgn_edge.training")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m avgn_edge.training", description=__doc__)
    parser.add_argument("--objects", type=Path, help="a folder of pictures a class; without it, glyphs are drawn")
    parser.add_argument("--sounds", type=Path, help="a folder of recordings a class; without it, tones are made")
    parser.add_argument("--backgrounds", type=Path, help="a folder of photographs; without it, textures are drawn")
    parser.add_argument("--environment", type=Path, help="a folder of field recordings; without it, noise is made")
    parser.add_argument("--imagenet", type=Path, help="MobileNetV2 weights for f_G and f_L, torchvision's names")
    parser.add_argument("--work", type=Path, required=True, help="where composed clips and parts are kept")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint to write")
    parser.add_argument("--clips", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--warm-clips", type=int, default=1500)
    parser.add_argument("--val-clips", type=int, default=300)
    parser.add_argument("--warm-epochs", type=int, nargs=3, default=(12, 3, 5), metavar=("AUDIO", "GLOBAL", "LOCAL"))
    parser.add_argument("--only", choices=("audio", "global", "local", "clips"), help="do one part, for parallel runs")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _warm_part(model: AVGN, name: str, options: argparse.Namespace, train: pools.Pool, val: pools.Pool) -> None:
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
    steps = len(train) * pools.MOMENTS // settings.batch
    batches = partial(make, train, classes, settings.batch)
    warm.warm_start(encoder, head, batches, settings, steps, options.seed, lambda text: _LOG.info("%s: %s", name, text))
    score = warm.accuracy(encoder, head, make(val, classes, 32, np.random.default_rng(0)))
    _LOG.info("%s: top-1 of held-out moments with evidence %.3f", name, score)
    torch.save({"encoder": encoder.state_dict(), "head": head.state_dict()}, path)


def main() -> None:
    """Compose, warm up, train, save."""
    options = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    sources = Sources.from_folders(options.objects, options.sounds, options.backgrounds, options.environment)
    train, val = sources.split("train"), sources.split("val")
    compose = pools.compose_pool
    seeds = [int(seed) for seed in np.random.SeedSequence(options.seed).generate_state(4)]
    varied = Variation()
    warm_train = compose(options.work / "warm", train, options.warm_clips, seeds[0], pools.half_in_episodes, varied)
    warm_val = compose(options.work / "warm-val", val, 100, seeds[1], pools.half_in_episodes)
    model = AVGN(preset("small", sources.classes))
    if options.imagenet is not None:
        load_backbone(model.global_encoder.backbone, options.imagenet)
        load_backbone(model.local_encoder.backbone, options.imagenet)
    for name in ("audio", "local", "global"):
        if options.only in (None, "clips", name):
            _warm_part(model, name, options, warm_train, warm_val)
    if options.only in (None, "clips"):
        from avgn_edge.training.loop import ClipTraining, train_clips  # noqa: PLC0415 - the parts above do not need it

        clips = compose(options.work / "clips", train, options.clips, seeds[2], pools.one_a_bin, varied)
        held_out = compose(options.work / "clips-val", val, options.val_clips, seeds[3], pools.bin_centres)
        train_clips(model, clips, held_out, ClipTraining(epochs=options.epochs, seed=options.seed), options.work, _LOG)
        checkpoint.save(model, options.output)
        _LOG.info("wrote %s", options.output)


if __name__ == "__main__":
    main()
