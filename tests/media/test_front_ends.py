"""EfficientAT's front end against PyTorch's own STFT, and what both front ends have in common."""

from __future__ import annotations

import numpy as np
import pytest

from avgn_edge._base.errors import ArgumentError
from avgn_edge.media.front_ends import EFFICIENTAT, FRONT_ENDS
from avgn_edge.media.logmel import log_mel

SAMPLES = EFFICIENTAT.window_samples


def signals():
    rng = np.random.default_rng(0)
    t = np.arange(SAMPLES) / EFFICIENTAT.sample_rate
    return {
        "noise": rng.normal(size=SAMPLES) * 0.3,
        "whisper": rng.normal(size=SAMPLES) * 1e-4,
        "sine": 0.9 * np.sin(2 * np.pi * 440 * t),
        "high": 0.5 * np.sin(2 * np.pi * 14_000 * t),
        "chirp": np.sin(2 * np.pi * (50 * t + 7000 * t**2)),
        "click at the end": np.eye(1, SAMPLES, SAMPLES - 200)[0],
        "silence": np.zeros(SAMPLES),
    }


def reference(waveform):
    """As the authors have it, with Kaldi's mel matrix written out band by band."""
    torch = pytest.importorskip("torch")

    def mel(hertz):
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    bins = mel(32_000 / 1_024 * np.arange(512))
    step = mel(15_000.0) / 129
    filters = np.zeros((128, 513))
    for band in range(128):
        low, centre, high = band * step, (band + 1) * step, (band + 2) * step
        filters[band, :512] = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    sound = torch.from_numpy(waveform)
    sound = sound[1:] - 0.97 * sound[:-1]
    window = torch.hann_window(800, periodic=False)
    spectrum = torch.stft(sound, 1_024, 320, 800, window, center=True, return_complex=True)
    power = (spectrum.abs() ** 2).double().numpy()
    return (np.log(filters @ power + 1e-5) + 4.5) / 5


@pytest.mark.parametrize("name", signals())
def test_it_agrees_with_pytorch(name):
    waveform = signals()[name].astype(np.float32)
    ours = log_mel(waveform[np.newaxis], EFFICIENTAT)
    assert (ours.shape, ours.dtype) == ((1, 1, 128, 98), np.float32)
    np.testing.assert_allclose(ours[0, 0], reference(waveform), atol=1e-3, rtol=0)


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.name)
def test_silence_is_the_same_everywhere_and_windows_last_as_long(front_end):
    spectrograms = log_mel(np.zeros((2, front_end.window_samples), np.float32), front_end)
    assert spectrograms.shape == (2, 1, *front_end.shape)
    np.testing.assert_allclose(spectrograms, front_end.silence, rtol=1e-6)
    assert front_end.window_samples / front_end.sample_rate == 0.975


@pytest.mark.parametrize("front_end", FRONT_ENDS.values(), ids=lambda one: one.name)
def test_windows_of_another_length_are_refused(front_end):
    with pytest.raises(ArgumentError, match=f"it must be \\[n, {front_end.window_samples}\\]"):
        log_mel(np.zeros((1, 1_000), np.float32), front_end)
