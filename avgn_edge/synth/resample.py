"""Changing the rate of short recordings by their spectrum, in plain NumPy."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

BLOCK = 160  # lengths are padded to a multiple of this, so that spectra of common rates have small factors


def resample(
    samples: npt.NDArray[np.float32], rate: int, new_rate: int, speed: float = 1.0, tilt_db: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return float32 [n] at another rate, played `speed` times as fast, with `tilt_db` an octave around 1 kHz."""
    if rate == new_rate and speed == 1.0 and tilt_db == 0.0:
        return samples
    ratio = new_rate / (rate * speed)
    padded = BLOCK * ceil((len(samples) + BLOCK // 2) / BLOCK)
    count = max(2, round(padded * ratio))
    spectrum = np.fft.rfft(samples, padded)
    if tilt_db:
        frequency = np.maximum(np.fft.rfftfreq(padded, 1 / (rate * speed)), 60.0)
        spectrum *= 10 ** (tilt_db * np.log2(frequency / 1000) / 20)
    bins = count // 2 + 1
    if bins <= len(spectrum):
        spectrum = spectrum[:bins]
    else:
        spectrum = np.concatenate([spectrum, np.zeros(bins - len(spectrum), dtype=spectrum.dtype)])
    changed = np.fft.irfft(spectrum, count) * (count / padded)
    return changed[: max(1, round(len(samples) * ratio))].astype(np.float32)
