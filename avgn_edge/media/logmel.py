"""Log-mel spectrograms, YAMNet's front end in NumPy: the a_t of AVGN (section 3.1, input of f_A)."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from avgn_edge._base.errors import ArgumentError

SAMPLE_RATE: Final = 16_000
WINDOW_SAMPLES: Final = 15_600
"""Samples of one moment: 96 frames of 400, 160 apart, are 95 · 160 + 400 samples (0.975 s)."""

FRAME_SAMPLES: Final = 400
HOP_SAMPLES: Final = 160
FFT_SIZE: Final = 512
MEL_BANDS: Final = 64
LOWEST_HZ: Final = 125.0
HIGHEST_HZ: Final = 7_500.0
LOG_OFFSET: Final = 0.001
TOGETHER: Final = 12
"""Frames of a matrix product, a part of all: 12 · 257 · 64 multiplications, where OpenBLAS's threads start at 2¹⁸."""
FRAMES: Final = (WINDOW_SAMPLES - FRAME_SAMPLES) // HOP_SAMPLES + 1


def log_mel(waveforms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn `waveforms` (float32 [n, 15600], 16 kHz mono, ±1) into float32 [n, 1, 96, 64]: time, then mel band.

    ln(magnitude · mel + 0.001); silence is ln(0.001) everywhere.
    """
    waveforms = np.asarray(waveforms, dtype=np.float32)
    if waveforms.ndim != 2 or waveforms.shape[1] != WINDOW_SAMPLES:
        why = f"it must be [n, {WINDOW_SAMPLES}], not {list(waveforms.shape)}"
        raise ArgumentError("waveforms", why, "cut the sound into windows of that many samples")
    frames = sliding_window_view(waveforms, FRAME_SAMPLES, axis=1)[:, ::HOP_SAMPLES]
    # A frame's zeros come at its end, as TensorFlow pads it: only the phase would tell. A window at a time, in memory
    # that stays in the cache and needs no clearing: 16 windows took 2.8 ms so, and 7.8 in one array.
    padded = np.zeros((FRAMES, FFT_SIZE), dtype=np.float32)
    mel = np.empty((len(waveforms), 1, FRAMES, MEL_BANDS), dtype=np.float32)
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
def mel_filters() -> NDArray[np.float32]:
    """Return the mel matrix, float32 [257, 64]: HTK bands of height 1, triangles linear in Hz.

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
def _hann() -> NDArray[np.float32]:
    """Return the periodic Hann window of one frame, float32 [400]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)
    return window.astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
