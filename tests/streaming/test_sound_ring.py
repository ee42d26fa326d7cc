"""The last seconds of a stream's sound."""

from __future__ import annotations

import av
import numpy as np
import pytest

from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES
from avgn_edge.media.resample import mono_frame
from avgn_edge.runtime.stream.buffers import HALF_WINDOW_S, SoundRing


def ramp(begin_s: float, end_s: float):
    """Samples that say when they are, in units of 100 s."""
    positions = np.arange(round(begin_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE))
    return (positions / SAMPLE_RATE / 100).astype(np.float32)


def push(ring, begin_s, end_s, at_s=None, piece_s=0.1):
    for start in np.arange(begin_s, end_s - 1e-9, piece_s):
        stop = min(start + piece_s, end_s)
        ring.push(mono_frame(ramp(start, stop), SAMPLE_RATE), start if at_s is None else at_s + start - begin_s)


def times(window):
    return window * 100


def test_a_window_is_the_sound_around_its_time():
    ring = SoundRing(4.0)
    push(ring, 0.0, 30.0)
    window, heard = ring.window(28.0)
    expected = (np.arange(WINDOW_SAMPLES) + round((28.0 - HALF_WINDOW_S) * SAMPLE_RATE)) / SAMPLE_RATE
    assert heard
    np.testing.assert_allclose(times(window), expected, atol=1e-3)


def test_what_is_not_there_is_silent():
    ring = SoundRing(4.0)
    assert not ring.window(1.0)[1]
    push(ring, 10.0, 12.0)
    assert not ring.window(5.0)[1]
    window, heard = ring.window(10.0)
    assert heard
    assert not window[: WINDOW_SAMPLES // 2 - 2].any()
    assert window[WINDOW_SAMPLES // 2 + 10 :].all()


def test_a_gap_is_silent_and_what_follows_lies_where_it_says():
    ring = SoundRing(6.0)
    push(ring, 1.0, 3.0)
    push(ring, 5.0, 7.0)
    ring.end_run()
    assert ring.end_s == pytest.approx(7.0, abs=0.001)
    assert not ring.window(4.0)[1]
    np.testing.assert_allclose(times(ring.window(6.0)[0])[WINDOW_SAMPLES // 2], 6.0, atol=1e-3)
    np.testing.assert_allclose(times(ring.window(2.0)[0])[WINDOW_SAMPLES // 2], 2.0, atol=1e-3)


def test_time_stamps_that_tremble_do_not_cut_the_sound():
    ring, rng = SoundRing(4.0), np.random.default_rng(0)
    for start in np.arange(0.0, 10.0, 0.02):
        ring.push(mono_frame(ramp(start, start + 0.02), SAMPLE_RATE), float(start + rng.uniform(-0.03, 0.03)))
    steps = np.diff(times(ring.window(8.0)[0]))
    assert np.abs(steps).max() < 2 / SAMPLE_RATE


def test_what_comes_late_overwrites_what_is_there():
    ring = SoundRing(6.0)
    push(ring, 0.0, 5.0)
    push(ring, 70.0, 71.0, at_s=3.0)
    ring.end_run()
    assert ring.end_s == pytest.approx(4.0, abs=0.001)
    assert times(ring.window(3.5)[0])[WINDOW_SAMPLES // 2] == pytest.approx(70.5, abs=0.01)
    assert times(ring.window(2.0)[0])[WINDOW_SAMPLES // 2] == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("back_s", [2.0, 3.99, 4.0, 9.0])
def test_going_back_by_any_amount_leaves_only_what_came_since(back_s):
    ring = SoundRing(4.0)
    push(ring, 10.0, 20.0)
    push(ring, 20.0 - back_s, 21.0 - back_s)
    ring.end_run()
    assert ring.end_s == pytest.approx(21.0 - back_s, abs=0.001)
    assert times(ring.window(20.5 - back_s)[0])[WINDOW_SAMPLES // 2] == pytest.approx(20.5 - back_s, abs=0.01)


def test_rates_and_channels_may_change_on_the_way():
    ring = SoundRing(4.0)
    push(ring, 0.0, 1.0)
    stereo = np.full((2, 44_100), 0.25, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
    frame.sample_rate = 44_100
    ring.push(frame, 1.0)
    ring.end_run()
    assert ring.end_s == pytest.approx(2.0, abs=0.01)
    np.testing.assert_allclose(ring.window(1.6)[0][:4000], 0.25, atol=0.01)


def test_samples_that_are_no_numbers_are_silent():
    ring = SoundRing(4.0)
    ring.push(mono_frame(np.full(SAMPLE_RATE * 2, np.nan, dtype=np.float32), SAMPLE_RATE), 0.0)
    window, heard = ring.window(1.0)
    assert not heard
    assert not window.any()
