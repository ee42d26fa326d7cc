"""What is rendered is what was planned."""

import time
from dataclasses import replace

import numpy as np
import pytest

from avgn_edge.data.synth import (
    Variation,
    card_box,
    clip_rng,
    plan_clip,
    render_audio,
    render_frame,
)
from avgn_edge.data.synth.sources import resample
from recipes.digits.moments import compose_moments, cut_windows, draw_times


def find(sources, **wanted):
    plans = (plan_clip(clip_rng(21, index), sources) for index in range(200))
    return next(plan for plan in plans if all(getattr(plan, name) == value for name, value in wanted.items()))


def test_frames_and_sound_are_the_same_each_time(any_sources):
    plan = plan_clip(clip_rng(1, 2), any_sources, variation=Variation())
    times = draw_times(np.random.default_rng(0), plan.duration)
    frames, windows = compose_moments(plan, times)
    again, windows_again = compose_moments(plan, times)
    assert frames.shape == (16, 256, 256, 3)
    assert frames.dtype == np.uint8
    assert windows.shape == (16, 15600)
    assert windows.dtype == np.float32
    assert np.array_equal(frames, again)
    assert np.array_equal(windows, windows_again)


def test_the_card_lies_in_its_box_and_nowhere_else(any_sources):
    for index in range(12):
        plan = replace(plan_clip(clip_rng(3, index), any_sources), decoys=())
        bare = replace(plan, episodes=())
        for episode in plan.episodes:
            for t in (episode.start, (episode.start + episode.end) / 2, episode.end - 0.01):
                frame = render_frame(plan, t)
                changed = (frame != render_frame(bare, t)).any(axis=2)
                assert frame.shape == (360, 640, 3)
                x, y, w, h = card_box(episode.card, episode.start, episode.end, t)
                rows, columns = np.nonzero(changed)
                assert rows.min() >= np.floor(y) - 1
                assert rows.max() <= np.ceil(y + h)
                assert columns.min() >= np.floor(x) - 1
                assert columns.max() <= np.ceil(x + w)
                assert changed.sum() > 0.5 * episode.card.size**2
                assert np.ptp(columns) > 0.7 * w


def test_the_blurred_card_has_no_strokes(any_sources):
    sharp, soft = find(any_sources, channel="both"), find(any_sources, channel="heard")

    def contrast(plan):
        episode = plan.episodes[0]
        t = (episode.start + episode.end) / 2
        x, y, w, h = card_box(episode.card, episode.start, episode.end, t)
        quarter = int(w / 4)
        inner = render_frame(replace(plan, contrast=1.0, brightness=0.0), t)
        inner = inner[int(y) + quarter : int(y + h) - quarter, int(x) + quarter : int(x + w) - quarter].mean(axis=2)
        return max(np.abs(np.diff(inner, axis=axis)).max() for axis in (0, 1))

    assert contrast(sharp) > 15
    assert contrast(soft) < 6


def test_a_moment_is_rendered_fast(any_sources):
    plan = plan_clip(clip_rng(1, 5), any_sources)
    times = np.linspace(0, plan.duration - 0.01, 40)
    for t in times:
        render_frame(plan, t)
    began = time.process_time()
    for t in times:
        render_frame(plan, t)
    assert (time.process_time() - began) / len(times) < 0.02


def test_noise_lies_as_far_below_speech_as_planned(any_sources):
    checked = 0
    for index in range(12):
        plan = replace(plan_clip(clip_rng(8, index), any_sources), decoys=())
        bed = render_audio(replace(plan, episodes=()), 16_000)
        speech = render_audio(plan, 16_000) - bed
        if plan.channel == "seen":
            assert not speech.any()
            continue
        blocks = np.square(speech[: len(speech) // 320 * 320]).reshape(-1, 320).mean(axis=1)
        spoken = np.sqrt(blocks[blocks > 0.05 * blocks.max()].mean())
        below = 20 * np.log10(spoken / np.sqrt(np.square(bed).mean()))
        assert below == pytest.approx(plan.noise_below_speech_db, abs=3)
        checked += 1
    assert checked


def test_words_are_heard_inside_their_episodes_only(own_sources):
    plan = replace(find(own_sources, channel="both"), decoys=())
    speech = render_audio(plan, 16_000) - render_audio(replace(plan, episodes=()), 16_000)
    inside = np.zeros(len(speech), dtype=bool)
    for episode in plan.episodes:
        span = slice(round(episode.start * 16_000), round(episode.end * 16_000))
        inside[span] = True
        assert np.abs(speech[span]).max() > 0.01
    assert np.abs(speech[~inside]).max() < 1e-6


def test_sound_is_the_same_clip_at_any_rate(own_sources):
    plan = plan_clip(clip_rng(1, 3), own_sources)
    low, high = (render_audio(plan, rate) for rate in (16_000, 44_100))
    assert len(low) == round(plan.duration * 16_000)
    assert len(high) == round(plan.duration * 44_100)
    assert high.dtype == np.float32
    assert np.abs(high).max() <= 1
    assert np.sqrt(np.square(high).mean()) == pytest.approx(np.sqrt(np.square(low).mean()), rel=0.1)


def test_windows_are_centred_and_silent_beyond_the_clip():
    samples = np.arange(1, 40_001, dtype=np.float32)
    windows = cut_windows(samples, [0.0, 1.0, 2.5, 9.0])
    assert windows[0, 7800] == samples[0]
    assert not windows[0, :7800].any()
    assert windows[1, 7800] == samples[16_000]
    assert windows[2, 7799] == samples[39_999]
    assert not windows[2, 7800:].any()
    assert not windows[3].any()


def test_times_are_one_in_each_bin():
    times = draw_times(np.random.default_rng(5), 12.0)
    assert list((times / 0.75).astype(int)) == list(range(16))


@pytest.mark.parametrize(("rate", "speed"), [(16_000, 1.0), (44_100, 1.0), (16_000, 0.9), (8_000, 1.2)])
def test_resampling_keeps_a_tone_a_tone(rate, speed):
    tone = np.sin(2 * np.pi * 440 * np.arange(4000) / 8000).astype(np.float32)
    changed = resample(tone, 8000, rate, speed)
    assert len(changed) == pytest.approx(4000 * rate / 8000 / speed, abs=2)
    wanted = np.sin(2 * np.pi * 440 * speed * np.arange(len(changed)) / rate)
    middle = slice(len(changed) // 4, len(changed) // 4 * 3)
    assert np.abs(changed[middle] - wanted[middle]).max() < 0.15  # pitch is exact to 0.02 %
