from __future__ import annotations

import numpy as np
import pytest
from media_makers import click, number_of, numbered

from avgn_edge.errors import ClipError
from avgn_edge.media import ArrayClip
from avgn_edge.media.logmel import WINDOW_SAMPLES

FRAMES = np.stack([numbered(i) for i in range(20)])


def numbers(clip):
    return [number_of(frame) for frame in clip.frames(range(len(clip.moments)))]


def test_frames_are_spread_over_the_sound():
    with ArrayClip(FRAMES, np.zeros(16_000 * 10, np.float32), 16_000) as clip:
        assert clip.duration_s == 10
        assert clip.display_size == (128, 96)
        assert numbers(clip) == [int(moment.time_s * 2) for moment in clip.moments]
        assert clip.conversions == 16


def test_times_say_which_frame_is_shown():
    times = [0, 1, 1.5, 7]
    clip = ArrayClip(FRAMES[:4], times=times, duration_s=8)
    assert numbers(clip) == [int(np.searchsorted(times, m.time_s, side="right")) - 1 for m in clip.moments]
    assert clip.warnings == ("no audio track",)


def test_only_frames_asked_for_are_converted_and_each_once():
    clip = ArrayClip(list(FRAMES[:2]), duration_s=2)
    assert number_of(clip.frames([15])[0]) == 1
    assert clip.conversions == 1
    clip.frames([0, 1, 2, 9])
    assert clip.conversions == 3


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_click_stays_where_it_was(rate):
    clip = ArrayClip(None, click(2.345, 4, rate, 2), rate)
    assert not clip.has_video
    windows, heard = clip.windows()
    index = 9  # at 2.375 s
    at_s = clip.moments[index].time_s + (int(windows[index].argmax()) - WINDOW_SAMPLES / 2) / 16_000
    assert at_s == pytest.approx(2.345, abs=0.0005)
    assert heard[index]
    assert not heard[0]


@pytest.mark.parametrize(("dtype", "one"), [(np.float64, 0.5), (np.int16, 16_384), (np.int32, 2**30), (np.uint8, 192)])
def test_waveforms_of_other_types_are_scaled(dtype, one):
    windows, _ = ArrayClip(None, np.full(32_000, one, dtype), 16_000).windows()
    np.testing.assert_allclose(windows[8], 0.5, atol=1e-3)


def test_not_a_number_is_silence():
    windows, heard = ArrayClip(None, np.full(32_000, np.nan, np.float32), 16_000).windows()
    assert np.isfinite(windows).all()
    assert not heard.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": None}, "neither"),
        ({"frames": []}, "neither"),
        ({"frames": FRAMES.astype(np.float32)}, "float32"),
        ({"frames": FRAMES[..., :1]}, "uint8"),
        ({"frames": None, "waveform": np.zeros(10, np.float32)}, "sample rate"),
        ({"frames": None, "waveform": np.zeros((2, 2, 2), np.float32), "sample_rate": 16_000}, "waveform"),
        ({"frames": None, "waveform": np.zeros(9, complex), "sample_rate": 16_000}, "complex"),
        ({"frames": FRAMES, "times": [1, 2]}, "times"),
        ({"frames": FRAMES[:2], "times": [2, 1]}, "times"),
        ({"frames": FRAMES, "duration_s": float("nan")}, "duration"),
    ],
)
def test_what_cannot_be_a_clip_is_refused_in_one_line(arguments, message):
    with pytest.raises(ClipError, match=message) as caught:
        ArrayClip(**arguments)
    assert "\n" not in str(caught.value)
