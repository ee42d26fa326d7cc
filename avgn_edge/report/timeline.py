"""A clip's time from left to right: its sound, what was salient, and what was glanced and looked at, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from avgn_edge.media.logmel import LOG_OFFSET, SAMPLE_RATE, WINDOW_SAMPLES
from avgn_edge.report.html import seconds, section
from avgn_edge.report.looks import palette_png

if TYPE_CHECKING:
    from avgn_edge.media.moments import Moment
    from avgn_edge.report.record import Record
    from avgn_edge.runtime.moments_table import MomentReport


WINDOW_S: Final = WINDOW_SAMPLES / SAMPLE_RATE
COLUMNS: Final = 1_200
"""Pixels of the spectrogram's width."""
LEAST_SHARE: Final = 0.3
"""Of a moment's sixteenth that its sound takes at least: in an hour, a second would be invisible."""
SHADES: Final = 96
_QUIET: Final = float(np.log(LOG_OFFSET))
_LEAST_RANGE: Final = 4.0
"""In ln: what is even is drawn as even, not as its noise."""
_COLOURS: Final = (
    (20, 11, 53),
    (74, 16, 107),
    (140, 41, 99),
    (206, 67, 68),
    (244, 125, 21),
    (248, 192, 50),
    (252, 249, 180),
)
"""From quiet to loud, as light as they are loud: they read in grey too."""


def timeline(record: Record) -> str:
    """Return the part of the page with the clip's time."""
    sound = _sound(record)
    body = f'<div class="time">{sound}{_saliency(record)}{_marks(record)}{_axis(record)}</div>{_key(record)}'
    about = "From left to right the clip's time, in columns of one moment each."
    if record.heard.any() and any_widened(record):
        about += " Each strip of sound is the second around its moment, drawn wider than it is."
    return section("When it listened and looked", body, about)


def spectrogram(record: Record) -> NDArray[np.uint8]:
    """Return the sound on the clip's time axis, uint8 [64, 1200]: 0 where nothing was heard, else a shade from 1 on.

    Low tones are at the bottom. Shades run from the quietest to the loudest of this clip.
    """
    picture = np.zeros((record.spectrograms.shape[2], COLUMNS), dtype=np.uint8)
    if not record.heard.any():
        return picture
    low = max(_QUIET, float(np.quantile(record.spectrograms, 0.02)))
    high = max(float(np.quantile(record.spectrograms, 0.998)), low + _LEAST_RANGE)
    shades = 1 + np.clip((record.spectrograms - low) / (high - low) * (SHADES - 1), 0, SHADES - 1).astype(np.uint8)
    heard = [moment for moment in record.moments if record.heard[moment.index]]
    for moment, shade in zip(heard, shades, strict=True):
        start, width = _place(record, moment)
        columns = np.arange(max(0, int(start * COLUMNS)), min(COLUMNS, round((start + width) * COLUMNS)))
        frames = ((columns + 0.5) / COLUMNS - start) / width * len(shade)
        picture[:, columns] = shade[np.clip(frames, 0, len(shade) - 1).astype(np.intp)].T[::-1]
    return picture


def any_widened(record: Record) -> bool:
    """Whether strips of sound are drawn wider than they are."""
    return record.result.duration_s * LEAST_SHARE > WINDOW_S * len(record.moments)


def palette() -> NDArray[np.uint8]:
    """Return the colours of the shades, uint8 [256, 4], RGBA; 0 is transparent."""
    anchors = np.array(_COLOURS, dtype=np.float64)
    at = np.linspace(0, len(anchors) - 1, SHADES)
    colours = np.zeros((256, 4), dtype=np.uint8)
    for channel in range(3):
        colours[1 : SHADES + 1, channel] = np.interp(at, np.arange(len(anchors)), anchors[:, channel]).round()
    colours[1 : SHADES + 1, 3] = 255
    return colours


def _place(record: Record, moment: Moment) -> tuple[float, float]:
    """Where a moment's sound starts and how wide it is, as shares of the clip."""
    duration = record.result.duration_s
    if duration <= 0:
        return moment.index / len(record.moments), 1 / len(record.moments)
    width = max(WINDOW_S / duration, LEAST_SHARE / len(record.moments))
    return moment.time_s / duration - width / 2, width


def _sound(record: Record) -> str:
    if not record.heard.any():
        why = "The sound is silence: nothing was heard." if record.has_audio else "No audio track: nothing was heard."
        return f'<div class="track spec none">{why}</div>'
    count = int(record.heard.sum())
    about = f"Spectrogram of the sound around the moments, {count} of {len(record.moments)} with sound in them"
    picture = palette_png(spectrogram(record), palette())
    return f'<div class="track spec"><img src="{picture}" alt="{about}; low tones at the bottom"></div>'


def _saliency(record: Record) -> str:
    moments = record.result.moments
    if all(moment.saliency is None for moment in moments):
        return '<div class="track sal none">No saliency: the clip ended before it was asked for.</div>'
    top = max(1.0, *(moment.saliency or 0.0 for moment in moments))
    bars = "".join(
        f'<i class="{_how(moment)}" style="left:{100 * (at + 0.06) / len(moments):.2f}%;'
        f'width:{88 / len(moments):.2f}%;height:{100 * min(max(moment.saliency or 0.0, 0.0) / top, 1):.1f}%"></i>'
        for at, moment in enumerate(moments)
    )
    best = max(moments, key=lambda moment: moment.saliency or 0.0)
    about = f"Saliency of the moments; the highest is {best.saliency:.2f} at {seconds(best.time_s)}"
    return f'<div class="track sal" role="img" aria-label="{about}">{bars}</div>'


def _how(moment: MomentReport) -> str:
    if moment.rank is not None:
        return "look"
    return "glance" if moment.glanced else ""


def _marks(record: Record) -> str:
    first, count = record.first_glanced, len(record.moments)
    spans = []
    for order, index in enumerate(record.frames, 1):
        late = "" if index in first else " late"
        spans.append(f'<span class="g{late}" style="left:{100 * (index + 0.5) / count:.2f}%">{order}</span>')
    for rank, moment in enumerate(record.looked, 1):
        spans.append(f'<span class="l" style="left:{100 * (moment.index + 0.5) / count:.2f}%">{rank}</span>')
    if not spans:
        return ""
    glances = ", ".join(str(index + 1) for index in record.frames)
    looks = ", ".join(str(moment.index + 1) for moment in record.looked)
    about = f"Moments glanced at, in order: {glances}." + (f" Looked at, in order: {looks}." if looks else "")
    return f'<div class="marks" role="img" aria-label="{about}">{"".join(spans)}</div>'


def _axis(record: Record) -> str:
    duration = record.result.duration_s
    if duration <= 0:
        return '<div class="axis"><span>a single picture</span></div>'
    at = "".join(f'<span style="left:{25 * part}%">{seconds(duration * part / 4)}</span>' for part in range(5))
    return f'<div class="axis" aria-hidden="true">{at}</div>'


def _key(record: Record) -> str:
    rows = [("gap", "no sound, or none asked for")]
    if any(moment.saliency is not None for moment in record.result.moments):
        rows += [
            ("look", "saliency of a moment looked at"),
            ("glance", "saliency of one glanced at"),
            ("", "saliency of one not seen"),
        ]
    if record.frames:
        rows.append(("ring", "glanced at, in this order"))
    if any(index not in record.first_glanced for index in record.frames):
        rows.append(("ring late", "glanced at only when looked at"))
    if record.looked:
        rows.append(("dot", "looked at, in this order"))
    return '<ul class="key">' + "".join(f'<li><b class="{kind}"></b>{words}</li>' for kind, words in rows) + "</ul>"
