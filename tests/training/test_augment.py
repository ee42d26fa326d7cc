"""Augmentation stays inside frame and spectrogram, is one thing for a whole clip, and is drawn from its generator."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from avgn_edge.media.front_ends import YAMNET
from avgn_edge.media.logmel import WINDOW_SAMPLES, log_mel
from avgn_edge.training.batches import (
    Augmentation,
    CropBox,
    augment_frames,
    change_gain,
    crop_and_resize,
    draw_crop,
    flip,
    mask_spectrograms,
)

SEEDS = st.integers(0, 2**32)
PAPER_SIDES = (256, 224, 192, 168)


def ramp(side=256, count=2):
    """Frames whose red is x and green is y, as far as a byte goes; uint8 [count, side, side, 3]."""
    y, x = np.mgrid[:side, :side].astype(np.uint8)
    return np.repeat(np.stack([x, y, np.full_like(x, 9)], axis=-1)[np.newaxis], count, axis=0)


def sounds(moments=4, seed=0):
    return log_mel(np.random.default_rng(seed).normal(0, 0.1, (moments, WINDOW_SAMPLES)).astype(np.float32))


@given(
    SEEDS, st.integers(8, 400), st.lists(st.floats(0.1, 1.0), min_size=1, max_size=5), st.booleans(), st.integers(0, 4)
)
def test_crops_never_leave_the_frame(seed, side, scales, fixed, distort):
    options = Augmentation(scales=tuple(scales), fixed_places=fixed, max_distort=distort)
    box = draw_crop(np.random.default_rng(seed), side, min(side, 224), options)
    assert box.x >= 0
    assert box.y >= 0
    assert box.width > 0
    assert box.height > 0
    assert box.x + box.width <= side
    assert box.y + box.height <= side


@pytest.mark.parametrize("fixed", [True, False])
def test_the_papers_scales_are_all_drawn_with_neighbours_only(fixed):
    rng = np.random.default_rng(0)
    boxes = [draw_crop(rng, 256, 224, Augmentation(fixed_places=fixed)) for _ in range(2000)]
    pairs = {(PAPER_SIDES.index(box.width), PAPER_SIDES.index(box.height)) for box in boxes}
    assert pairs == {(w, h) for w in range(4) for h in range(4) if abs(w - h) <= 1}
    places = {(box.x, box.y) for box in boxes if (box.width, box.height) == (192, 192)}
    assert (len(places) == 13 and (32, 32) in places and (64, 64) in places) if fixed else len(places) > 50


def test_without_distortion_crops_are_square():
    rng = np.random.default_rng(0)
    assert all(
        box.width == box.height for box in (draw_crop(rng, 256, 224, Augmentation(max_distort=0)) for _ in range(99))
    )


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_resized_crop_shows_what_was_inside_it(seed):
    box = draw_crop(np.random.default_rng(seed), 256, 224, Augmentation(fixed_places=False))
    cut = crop_and_resize(ramp(), box, 224)
    assert cut.shape == (2, 224, 224, 3)
    assert cut.dtype == np.uint8
    assert cut.flags.c_contiguous
    # Pixel centres: output column i shows x + (i + 0.5) · width / 224 - 0.5.
    wanted_x = box.x + (np.arange(224) + 0.5) * box.width / 224 - 0.5
    wanted_y = box.y + (np.arange(224) + 0.5) * box.height / 224 - 0.5
    inner = slice(2, -2)  # at the rim there is nothing outside to take a mean with
    assert np.abs(cut[1, 100, :, 0] - wanted_x)[inner].max() <= 1
    assert np.abs(cut[1, :, 100, 1] - wanted_y)[inner].max() <= 1


def test_a_crop_of_the_right_size_is_not_resampled():
    frames = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_and_resize(frames, CropBox(8, 24, 224, 224), 224), frames[:, 24:248, 8:232])


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_all_frames_of_a_clip_are_changed_alike(seed):
    frames = augment_frames(ramp(count=3), np.random.default_rng(seed), 224, Augmentation())
    np.testing.assert_array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(frames[0], frames[2])


def test_a_flip_mirrors_left_and_right_and_twice_is_none():
    frames = ramp()
    np.testing.assert_array_equal(flip(frames)[:, :, 0], frames[:, :, -1])
    np.testing.assert_array_equal(flip(flip(frames)), frames)


def test_half_the_clips_are_mirrored_unless_classes_forbid_it():
    def mirrored(options):
        cut = [augment_frames(ramp(64, 1), np.random.default_rng(seed), 56, options) for seed in range(60)]
        return [bool(frames[0, 0, 0, 0] > frames[0, 0, -1, 0]) for frames in cut]

    assert 15 < sum(mirrored(Augmentation())) < 45
    assert not any(mirrored(Augmentation(flip=False)))


def test_forbidding_the_mirror_changes_nothing_else():
    for seed in range(6):
        rngs = np.random.default_rng(seed), np.random.default_rng(seed)
        with_flip = augment_frames(ramp(), rngs[0], 224, Augmentation())
        without = augment_frames(ramp(), rngs[1], 224, Augmentation(flip=False))
        assert np.array_equal(with_flip, without) or np.array_equal(flip(with_flip), without)
        assert rngs[0].random() == rngs[1].random()


@given(SEEDS, st.integers(0, 120), st.integers(0, 80))
@settings(max_examples=40, deadline=None)
def test_masks_silence_one_stretch_of_time_and_one_of_bands_no_wider_than_allowed(seed, time_mask, band_mask):
    before = sounds()
    kept = before.copy()
    after = mask_spectrograms(before, np.random.default_rng(seed), time_mask, band_mask)
    np.testing.assert_array_equal(before, kept)
    changed = (after != before)[:, 0]
    np.testing.assert_array_equal(after[:, 0][changed], np.float32(YAMNET.silence))
    for moment in changed:
        rows, bands = moment.all(axis=1), moment.all(axis=0)
        np.testing.assert_array_equal(moment, rows[:, np.newaxis] | bands)
        if rows.all() or bands.all():
            continue  # everything is masked: one of the two was as wide as it can be
        for masked, widest in ((rows, time_mask), (bands, band_mask)):
            assert masked.sum() <= widest
            assert np.abs(np.diff(np.r_[0, masked, 0].astype(int))).sum() in {0, 2}


def test_each_moment_draws_masks_of_its_own_and_the_widest_are_reached():
    after = mask_spectrograms(sounds(200), np.random.default_rng(3), 24, 12)
    rows = (after[:, 0] == np.float32(YAMNET.silence)).all(axis=2).sum(axis=1)
    bands = (after[:, 0] == np.float32(YAMNET.silence)).all(axis=1).sum(axis=1)
    assert set(rows.tolist()) == set(range(25))
    assert set(bands.tolist()) == set(range(13))


def test_masking_silence_leaves_silence():
    silent = log_mel(np.zeros((3, WINDOW_SAMPLES), np.float32))
    np.testing.assert_allclose(mask_spectrograms(silent, np.random.default_rng(0), 24, 12), silent, atol=1e-6)


@given(SEEDS, st.floats(0, 20))
def test_gain_is_one_factor_within_its_limits(seed, most_db):
    waveforms = np.linspace(0.1, 1, 12, dtype=np.float32).reshape(3, 4)
    louder = change_gain(waveforms, np.random.default_rng(seed), most_db)
    assert louder.dtype == np.float32
    factors = louder / waveforms
    np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-5)
    assert abs(20 * np.log10(factors[0, 0])) <= most_db + 1e-4


def test_no_gain_leaves_the_sound_exactly_as_it_is():
    waveforms = np.random.default_rng(0).normal(size=(2, 9)).astype(np.float32)
    np.testing.assert_array_equal(change_gain(waveforms, np.random.default_rng(1), 0.0), waveforms)


@pytest.mark.parametrize(
    "wrong", [{"scales": ()}, {"scales": (1.2,)}, {"scales": (0.0,)}, {"time_mask": -1}, {"gain_db": float("nan")}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"scales|negative"):
        Augmentation(**wrong)
