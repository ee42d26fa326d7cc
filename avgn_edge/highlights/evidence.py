"""What each moment says by itself, and how surely: f_C^A of its sound and FC^G of its glance together.

Saliency is relative to its window: in training its target was normalised over the clip (Eq. 12), so the best of sixteen
moments without anything in them is salient too. A score of a whole video's moments needs something absolute beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from avgn_edge.highlights.track import Track
    from avgn_edge.runtime.graphs import Floats

_TINY = 1e-6


def answers(track: Track, task: str) -> Floats:
    """Return the probabilities of each moment, [n, C].

    One label a clip: the product of what sound and glance say, normalised (independent evidence, all classes as likely
    beforehand); neither leaves all classes as likely. Several labels: the larger of the two.
    """
    if task != "single-label":
        return np.maximum(track.audio_says, track.glance_says)
    classes = track.audio_says.shape[1]
    audio = np.where(track.heard[:, np.newaxis], track.audio_says, 1 / classes)
    glance = np.where(track.glanced[:, np.newaxis], track.glance_says, 1 / classes)
    product = np.maximum(audio, _TINY) * np.maximum(glance, _TINY)
    normal: Floats = (product / product.sum(axis=1, keepdims=True)).astype(np.float32)
    return normal


def sureness(probabilities: Floats, task: str) -> Floats:
    """Return how far the best class of each moment stands above chance, 0…1: [n, C] -> [n]."""
    best: Floats = probabilities.max(axis=1)
    chance = 1 / probabilities.shape[1] if task == "single-label" and probabilities.shape[1] > 1 else 0.0
    return np.asarray(np.clip((best - chance) / (1 - chance), 0, 1), dtype=np.float32)


def scores(saliency: Floats, track: Track, task: str) -> Floats:
    """Return the score of each moment, [n], 0 or more: how salient it is among its neighbours, times how sure."""
    return np.asarray(np.maximum(saliency, 0) * sureness(answers(track, task), task), dtype=np.float32)
