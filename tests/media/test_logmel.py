from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avgn_edge.media.logmel import SAMPLE_RATE, WINDOW_SAMPLES, log_mel, mel_filters

librosa = pytest.importorskip("librosa")


def reference(waveform: np.ndarray) -> np.ndarray:
    # librosa centres a window of 400 in its frames of 512; 56 zeros in front put it where YAMNet's frames start.
    padded = np.pad(waveform, (56, 56))
    magnitude = np.abs(librosa.stft(padded, n_fft=512, win_length=400, hop_length=160, window="hann", center=False))
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None)
    return np.log(filters @ magnitude + 0.001).T


def signals() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    t = np.arange(WINDOW_SAMPLES) / SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * 120 * k * t * (1 + 0.02 * np.sin(8 * np.pi * t))) / k for k in range(1, 40))
    return {
        "noise": random.normal(size=WINDOW_SAMPLES) * 0.3,
        "whisper": random.normal(size=WINDOW_SAMPLES) * 1e-4,
        "sine": 0.9 * np.sin(2 * np.pi * 440 * t),
        "chirp": np.sin(2 * np.pi * (50 * t + 4000 * t**2)),
        "speech-like": 0.1 * harmonics * (0.5 + 0.5 * np.sin(6 * np.pi * t)),
        "click at the end": np.eye(1, WINDOW_SAMPLES, WINDOW_SAMPLES - 200)[0],
        "silence": np.zeros(WINDOW_SAMPLES),
    }


@pytest.mark.parametrize("name", signals())
def test_log_mel_agrees_with_librosa(name):
    waveform = signals()[name].astype(np.float32)
    ours = log_mel(waveform[np.newaxis])
    assert ours.shape == (1, 1, 96, 64)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[0, 0], reference(waveform), atol=1e-3, rtol=0)


def test_mel_filters_are_librosas():
    theirs = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=512, n_mels=64, fmin=125, fmax=7500, htk=True, norm=None)
    np.testing.assert_allclose(mel_filters().T, theirs, atol=1e-6)
    assert not mel_filters()[0].any()


def test_triangles_linear_in_mel_would_differ_by_a_hundredth():
    """TensorFlow's definition, YAMNet's own: close, but not within the tolerance asked of librosa's."""

    def mel(hertz):
        return 1127 * np.log1p(hertz / 700)

    bins = mel(np.linspace(0, 8000, 257))[:, np.newaxis]
    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    filters = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    assert np.abs(filters - mel_filters()).max() < 0.005
    waveform = signals()["noise"]
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    theirs = np.log(np.abs(np.fft.rfft(frames * window, 512)) @ filters + 0.001)
    difference = np.abs(theirs - log_mel(waveform[np.newaxis].astype(np.float32))[0, 0]).max()
    assert 1e-3 < difference < 0.02


def test_silence_is_the_offset_everywhere():
    np.testing.assert_allclose(log_mel(np.zeros((2, WINDOW_SAMPLES), np.float32)), np.log(0.001), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.floats(0, 1, width=32))
def test_shape_and_finiteness(n, gain):
    waveforms = np.full((n, WINDOW_SAMPLES), gain, np.float32)
    mel = log_mel(waveforms)
    assert mel.shape == (n, 1, 96, 64)
    assert np.isfinite(mel).all()
    assert (mel >= np.float32(np.log(0.001)) - 1e-4).all()


@pytest.mark.parametrize("shape", [(WINDOW_SAMPLES,), (1, WINDOW_SAMPLES - 1), (1, 1, WINDOW_SAMPLES)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="15600"):
        log_mel(np.zeros(shape, np.float32))
