"""Scores of classes: from logits, and where no look was taken, from the auxiliary heads (AVGN, Eqs. 9, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avgn_edge.runtime.sessions import Floats

    Number = TypeVar("Number", bound=np.floating[Any])


def softmax(logits: NDArray[Number]) -> NDArray[Number]:
    """Over the last axis."""
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def sigmoid(logits: NDArray[Number]) -> NDArray[Number]:
    """1 / (1 + e^-x), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))


def probabilities(logits: Floats, task: str) -> Floats:
    """Softmax for one label a clip, sigmoid for several: [..., C] -> float32 [..., C]."""
    return (softmax(logits) if task == "single-label" else sigmoid(logits)).astype(np.float32, copy=False)


def from_heads(heard: Floats | None, glances: Sequence[Floats]) -> Floats:
    """Average what f_C^A says of the sound and the mean of what FC^G says of the glances, each [C].

    One alone where there is no other; ValueError where there is neither.
    """
    if not glances:
        if heard is None:
            raise ValueError("nothing was heard and nothing was glanced at")
        return heard
    seen: Floats = np.mean(glances, axis=0)
    return seen if heard is None else np.asarray((heard + seen) / 2, dtype=np.float32)
