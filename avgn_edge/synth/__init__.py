"""The composer of "Digits in the wild": an audio-visual set whose when and where are known exactly."""

from avgn_edge.synth.dataset import Recipe, Summary, write_dataset
from avgn_edge.synth.encode import encode_clip
from avgn_edge.synth.moments import compose_moments, cut_windows, draw_times
from avgn_edge.synth.plan import ClipPlan, Variation, clip_rng, episode_at, plan_clip
from avgn_edge.synth.render import render_audio, render_frame
from avgn_edge.synth.sources import Sources
from avgn_edge.synth.truth import card_box, truth_of

__all__ = [
    "ClipPlan",
    "Recipe",
    "Sources",
    "Summary",
    "Variation",
    "card_box",
    "clip_rng",
    "compose_moments",
    "cut_windows",
    "draw_times",
    "encode_clip",
    "episode_at",
    "plan_clip",
    "render_audio",
    "render_frame",
    "truth_of",
    "write_dataset",
]
