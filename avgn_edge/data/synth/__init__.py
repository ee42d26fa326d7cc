"""The composer of "Digits in the wild": an audio-visual set whose when and where are known exactly."""

from __future__ import annotations

from importlib import import_module

from avgn_edge._base.errors import MissingExtraError

try:
    import_module("PIL")
except ModuleNotFoundError as error:
    raise MissingExtraError("synth", "pillow", "train") from error

from avgn_edge.data.synth.clip_plan import ClipPlan, Variation, clip_rng, episode_at, plan_clip
from avgn_edge.data.synth.dataset import Recipe, Summary, card_box, truth_of, write_dataset
from avgn_edge.data.synth.render import encode_clip, render_audio, render_frame
from avgn_edge.data.synth.sources import Sources

__all__ = [
    "ClipPlan",
    "Recipe",
    "Sources",
    "Summary",
    "Variation",
    "card_box",
    "clip_rng",
    "encode_clip",
    "episode_at",
    "plan_clip",
    "render_audio",
    "render_frame",
    "truth_of",
    "write_dataset",
]
