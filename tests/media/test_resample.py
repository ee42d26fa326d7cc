from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avgn_edge.media.resample import Resampler

EDGE = 40
"""Samples at 16 kHz beyond which the filter does not reach: 2.5 ms."""
RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_099, 44_100, 48_000, 96_000)


def frames(samples: np.ndarray, rate: int, fmt: str) -> list[av.AudioFrame]:
    """Frames of stereo; `samples` are float32 [n]."""
    both = np.stack([samples, 0.5 * samples])
    pieces = []
    for start in range(0, len(samples), 1_024):
        piece = both[:, start : start + 1_024]
        if fmt == "s16":
            piece = (piece.T.reshape(1, -1) * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format=fmt, layout="stereo")
        frame.sample_rate = rate
        pieces.append(frame)
    return pieces


def pushed(resampler: Resampler, samples: np.ndarray, rate: int, fmt: str) -> list[np.ndarray]:
    return [resampler.push(frame) for frame in frames(samples, rate, fmt)]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES),
    st.sampled_from(["fltp", "s16"]),
    st.lists(st.integers(1_000, 60_000), min_size=2, max_size=5),
)
def test_runs_after_a_pause_are_those_that_each_begin_anew(rate, fmt, lengths):
    rng = np.random.default_rng(len(lengths))
    several = Resampler()
    for length in lengths:
        samples = rng.uniform(-1, 1, length).astype(np.float32)
        alone = Resampler()
        expected = np.concatenate([*pushed(alone, samples, rate, fmt), alone.end()])
        found = np.concatenate([*pushed(several, samples, rate, fmt), several.pause()])
        assert abs(len(found) - length * 16_000 / rate) <= 1
        np.testing.assert_allclose(found[EDGE:-EDGE], expected[EDGE : len(found) - EDGE], atol=1e-6)


@pytest.mark.parametrize("fmt", ["fltp", "s16"])
@pytest.mark.parametrize("last", [Resampler.end, Resampler.pause])
def test_a_run_may_follow_an_end(fmt, last):
    samples = np.random.default_rng(0).uniform(-1, 1, 24_000).astype(np.float32)
    resampler = Resampler()
    runs = [np.concatenate([*pushed(resampler, samples, 48_000, fmt), last(resampler)]) for _ in range(3)]
    assert [len(run) for run in runs] == [8_000] * 3
    np.testing.assert_allclose(runs[2][EDGE:-EDGE], runs[0][EDGE:-EDGE], atol=1e-6)


def test_nothing_pushed_is_nothing():
    resampler = Resampler()
    assert [len(resampler.pause()), len(resampler.end()), len(resampler.pause())] == [0, 0, 0]
