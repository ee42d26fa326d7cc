"""Log-mel spectrograms in NumPy, the front ends of f_A (AVGN's a_t, section 3.1): YAMNet's and EfficientAT's."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from avgn_edge._base.errors import ArgumentError
from avgn_edge.media.front_ends import EFFICIENTAT, YAMNET, FrontEnd

Array = NDArray[np.float32]
TOGETHER: Final = 12
"""Frames of a matrix product, a part of all: 12 · 257 · 64 multiplications, where OpenBLAS's threads start at 2¹⁸."""


def log_mel(waveforms: Array, front_end: FrontEnd = YAMNET) -> Array:
    """Turn waveforms into log-mel spectrograms.

    Args:
        waveforms: float32 [n, samples], mono, ±1: windows of the front end, such as 15,600 samples at 16 kHz.
        front_end: "yamnet", [time, band], or "efficientat", [band, time].

    Returns:
        float32 [n, 1, *front_end.shape]; silence is `front_end.silence` everywhere.

    Raises:
        ArgumentError: They are not windows of that many samples.
    """
    waveforms = np.asarray(waveforms, dtype=np.float32)
    if waveforms.ndim != 2 or waveforms.shape[1] != front_end.window_samples:
        why = f"it must be [n, {front_end.window_samples}], not {list(waveforms.shape)}"
        raise ArgumentError("waveforms", why, "cut the sound into windows of that many samples")
    return (_efficientat if front_end == EFFICIENTAT else _yamnet)(waveforms)[:, np.newaxis]


# ---- YAMNet's: 96 frames of 25 ms, 10 ms apart, 64 bands of 125 to 7,500 Hz, ln(magnitude · mel + 0.001)

SAMPLE_RATE: Final = YAMNET.sample_rate
WINDOW_SAMPLES: Final = YAMNET.window_samples
"""96 frames of 400, 160 apart, are 95 · 160 + 400 samples (0.975 s)."""
FRAME_SAMPLES: Final = 400
HOP_SAMPLES: Final = 160
FFT_SIZE: Final = 512
MEL_BANDS: Final = YAMNET.shape[1]
LOWEST_HZ: Final = 125.0
HIGHEST_HZ: Final = 7_500.0
LOG_OFFSET: Final = 0.001
FRAMES: Final = YAMNET.shape[0]


def _yamnet(waveforms: Array) -> Array:
    frames = sliding_window_view(waveforms, FRAME_SAMPLES, axis=1)[:, ::HOP_SAMPLES]
    # A frame's zeros come at its end, as TensorFlow pads it: only the phase would tell. A window at a time, in memory
    # that stays in the cache and needs no clearing: 16 windows took 2.8 ms so, and 7.8 in one array.
    padded = np.zeros((FRAMES, FFT_SIZE), dtype=np.float32)
    mel = np.empty((len(waveforms), FRAMES, MEL_BANDS), dtype=np.float32)
    for window, rows in zip(frames, mel, strict=True):
        np.multiply(window, _hann(), out=padded[:, :FRAME_SAMPLES])
        magnitude = np.abs(np.fft.rfft(padded, axis=1)).astype(np.float32, copy=False)
        # In products too small for the threads of NumPy's BLAS, which spin on when done, and on busy cores wait for
        # one another: for 16 windows one product took 0.3 to 10 ms on two cores, these 0.9. The numbers are the same.
        together = magnitude.reshape(-1, TOGETHER, FFT_SIZE // 2 + 1)
        np.matmul(together, mel_filters(), out=rows.reshape(-1, TOGETHER, MEL_BANDS))
    mel += np.float32(LOG_OFFSET)
    return np.log(mel, out=mel)


@cache
def mel_filters() -> Array:
    """Return YAMNet's mel matrix, float32 [257, 64]: HTK bands of height 1, triangles linear in Hz.

    TensorFlow draws the same triangles linear in mel, which moves the log-mel by 0.01 at most; here they are
    those of `librosa.filters.mel(htk=True, norm=None)`, an independent reference that is easy to come by.
    """
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT_SIZE // 2 + 1)[:, np.newaxis]
    edges = _hertz(np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), MEL_BANDS + 2))
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    filters.setflags(write=False)
    return filters


@cache
def _hann() -> Array:
    """Return the periodic Hann window of one frame, float32 [400]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)
    return window.astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


# ---- EfficientAT's (Schmid et al., 2023): pre-emphasis, 25 ms in 32 ms, 10 ms apart, 128 bands up to 15 kHz, power

AT_FRAME_SAMPLES: Final = 800
AT_HOP_SAMPLES: Final = 320
AT_FFT_SIZE: Final = 1_024
AT_BANDS: Final = EFFICIENTAT.shape[0]
AT_HIGHEST_HZ: Final = 15_000.0
PRE_EMPHASIS: Final = np.float32(0.97)
AT_OFFSET: Final = 1e-5
AT_TOGETHER: Final = 7
"""Frames of a matrix product; of 98 a part of all."""
AT_FRAMES: Final = EFFICIENTAT.shape[1]


def _efficientat(waveforms: Array) -> Array:
    emphasised = waveforms[:, 1:] - PRE_EMPHASIS * waveforms[:, :-1]
    half = AT_FFT_SIZE // 2
    mel = np.empty((len(waveforms), AT_FRAMES, AT_BANDS), dtype=np.float32)
    for sound, rows in zip(emphasised, mel, strict=True):
        # The ends are mirrored, as PyTorch centres its frames.
        frames = sliding_window_view(np.pad(sound, half, mode="reflect"), AT_FFT_SIZE)[::AT_HOP_SAMPLES]
        spectrum = np.fft.rfft(frames * _at_window(), axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        # The lower bands need few bins, the upper ones no low bins; in products too small for threads, as above.
        power = power.reshape(-1, AT_TOGETHER, half + 1)
        for bands, bins, filters in _at_filters():
            rows.reshape(-1, AT_TOGETHER, AT_BANDS)[:, :, bands] = power[:, :, bins] @ filters
    mel += np.float32(AT_OFFSET)
    np.log(mel, out=mel)
    mel += np.float32(4.5)
    mel /= np.float32(5.0)
    by_band: Array = mel.swapaxes(1, 2)
    return by_band


@cache
def _at_window() -> Array:
    """Return the symmetric Hann window of one frame in the middle of the transform, float32 [1024]."""
    beside = (AT_FFT_SIZE - AT_FRAME_SAMPLES) // 2
    return np.pad(np.hanning(AT_FRAME_SAMPLES), beside).astype(np.float32)


@cache
def _at_filters() -> tuple[tuple[slice, slice, Array], ...]:
    """Return the mel matrix in parts: bands, bins, float32 [bins, bands].

    HTK bands of height 1 from 0 Hz on, triangles linear in mel (Kaldi).
    """
    highest = 1127.0 * np.log1p(AT_HIGHEST_HZ / 700.0)
    edges = np.linspace(0.0, highest, AT_BANDS + 2)
    mel = 1127.0 * np.log1p(np.arange(AT_FFT_SIZE // 2 + 1) * (EFFICIENTAT.sample_rate / AT_FFT_SIZE) / 700.0)
    bins, low, centre, high = mel[:, np.newaxis], edges[:-2], edges[1:-1], edges[2:]
    filters = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    parts = []
    for first in range(0, AT_BANDS, AT_BANDS // 2):
        bands = slice(first, first + AT_BANDS // 2)
        used = np.flatnonzero(filters[:, bands].any(axis=1))
        reach = slice(int(used[0]), int(used[-1]) + 1)
        parts.append((bands, reach, np.ascontiguousarray(filters[reach, bands], dtype=np.float32)))
    return tuple(parts)
