from __future__ import annotations

import numpy as np
import pytest
from media_makers import click, number_of, numbered

from avgn_edge._base.errors import ClipError
from avgn_edge.media import ArrayClip
from avgn_edge.media.array_clip import checked_pcm
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


def test_not_a_number_is_silence_and_said():
    clip = ArrayClip(None, np.full(32_000, np.nan, np.float32), 16_000)
    windows, heard = clip.windows()
    assert np.isfinite(windows).all()
    assert not heard.any()
    assert clip.warnings == ("samples that are not finite numbers were taken for silence",)


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_both_orders_of_a_waveform_are_understood(channels, dtype):
    last = (np.random.default_rng(channels).uniform(-0.5, 0.5, (32_000, channels)) * 2**15).astype(dtype)
    last = last if dtype is np.int16 else last / np.float32(2**15)
    one, other = (ArrayClip(None, waveform, 16_000) for waveform in (last, np.ascontiguousarray(last.T)))
    assert other.duration_s == one.duration_s == 2
    np.testing.assert_allclose(other.windows()[0], one.windows()[0], atol=1e-6)  # channels are added in another order
    assert one.windows()[1].all()


@pytest.mark.parametrize(
    ("shape", "samples"),
    [((0, 2), 0), ((1, 2), 1), ((3, 6), 3), ((65, 2), 65), ((64, 64), 64), ((2, 65), 65), ((64, 48_000), 48_000)],
)
def test_short_pieces_are_samples_first(shape, samples):
    assert checked_pcm("x", np.zeros(shape, np.float32), 16_000).length == samples


@pytest.mark.parametrize("shape", [(2, 32), (16, 63), (65, 65), (48_000, 65), (9, 0), (0, 900)])
def test_a_waveform_that_cannot_be_understood_is_refused_with_its_shape(shape):
    with pytest.raises(ClipError, match=rf"\[{shape[0]}, {shape[1]}\].*\[samples, channels\]"):
        checked_pcm("x", np.zeros(shape, np.float32), 16_000)


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
