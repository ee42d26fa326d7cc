"""Single moments for the encoders: which are drawn, what is changed in them, what they are to answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from recipes.digits import warm_start as warm  # noqa: E402
from recipes.digits.pool import Pool  # noqa: E402


@pytest.fixture(scope="module")
def pool():
    """Four clips whose frames and sounds carry their own number, evidence in five moments of each."""
    rng = np.random.default_rng(0)
    seen = np.zeros((4, 16), np.bool_)
    seen[:, 3:8] = True
    frames = rng.integers(60, 190, (4, 16, 224, 224, 3), dtype=np.uint8)
    spectrograms = rng.normal(-3, 1, (4, 16, 1, 96, 64)).astype(np.float16)
    card = np.full((4, 16, 2), np.nan, np.float32)
    card[seen] = (30, 200)
    label = np.arange(4, dtype=np.int64)
    return Pool(frames, spectrograms, np.ones_like(seen), label, seen, seen, card)


@pytest.mark.parametrize("make", [warm.audio_batches, warm.frame_batches, warm.patch_batches])
def test_every_moment_with_evidence_comes_once_an_epoch_and_half_of_the_others(make, pool):
    batches = list(make(pool, 4, 4, np.random.default_rng(1)))
    assert len(batches) == warm.batches_an_epoch(pool.seen, 4) == (20 + 22) // 4
    targets = torch.cat([target for _, target in batches])
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))
    sure = targets.amax(dim=1) > 0.5
    assert sure.sum() <= 20
    assert (targets[~sure] == 0.25).all()
    if make is not warm.patch_batches:  # a patch may miss the card
        assert sure.sum() >= 18  # two may have fallen off the last batch


def test_a_patch_is_sure_exactly_where_it_holds_the_card(pool, monkeypatch):
    monkeypatch.setattr(warm, "other_colours", lambda patch, _: patch)
    columns = np.broadcast_to(np.arange(224, dtype=np.uint8)[:, None], (224, 224))
    places = np.stack((columns.T, columns, np.zeros_like(columns)), axis=-1)  # a pixel says where it is
    known = replace(pool, frames=np.broadcast_to(places, pool.frames.shape), seen=np.ones_like(pool.seen))
    known.card[:] = (90, 100)
    held = []
    for patches, target in warm.patch_batches(known, 4, 4, np.random.default_rng(2)):
        for (x, y), answer in zip(patches[:, 0, 0, :2].tolist(), target, strict=True):
            inside = 8 < 90 - x < 120 and 8 < 100 - y < 120
            held.append(inside)
            assert (answer.amax() > 0.5) == inside
    assert 0 < sum(held) < len(held)


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_another_voice_stays_within_the_range_of_the_first(seed):
    rng = np.random.default_rng(seed)
    spectrogram = rng.normal(-3, 2, (96, 64)).astype(np.float32)
    changed = warm.another_voice(spectrogram, rng)
    assert changed.shape == (96, 64)
    assert changed.dtype == np.float32
    assert spectrogram.min() - 1e-4 <= changed.min() <= changed.max() <= spectrogram.max() + 1e-4


def test_a_tone_in_another_voice_is_another_tone_at_the_same_moment():
    tone = np.full((96, 64), -6.9, np.float32)
    tone[47:49, 30] = 0
    peaks = {
        np.unravel_index(warm.another_voice(tone, np.random.default_rng(seed)).argmax(), tone.shape)
        for seed in range(30)
    }
    assert {abs(int(time) - 48) <= 2 for time, _ in peaks} == {True}  # the middle stays the middle
    assert len({int(band) for _, band in peaks}) > 5


def test_other_colours_keep_the_order_of_brightness():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    for seed in range(20):
        changed = warm.other_colours(ramp, np.random.default_rng(seed))
        assert changed.shape == ramp.shape
        assert changed.dtype == np.uint8
        assert (np.diff(changed.astype(int), axis=0) >= 0).all()


def test_a_warm_start_learns_what_separates_two_classes():
    torch.manual_seed(0)
    encoder, head = torch.nn.Flatten(), torch.nn.Linear(8, 2)

    def batches(rng):
        for _ in range(20):
            label = rng.integers(0, 2, 16)
            x = torch.from_numpy(rng.normal(0, 0.3, (16, 8, 1, 1)).astype(np.float32))
            x[:, 0, 0, 0] += torch.from_numpy(label * 2.0 - 1).float()
            yield x, warm.soft_targets(label, np.ones(16, np.bool_), 2)

    options = warm.WarmStart(epochs=2, batch=16, learning_rate=0.1, bfloat16=False)
    warm.warm_start(encoder, head, batches, options, 20, 0, lambda _: None)
    assert warm.accuracy(encoder, head, batches(np.random.default_rng(5))) > 0.95
