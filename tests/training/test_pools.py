"""Clips as arrays: composed, decoded, encoded once; and what is known of when and where in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from network_makers import tiny_settings  # noqa: E402

from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: E402
from avgn_edge.architectures.avgn.network.inference import Looks  # noqa: E402
from avgn_edge.data.synth import Sources, Variation, write_dataset  # noqa: E402
from recipes.digits import pool as pools  # noqa: E402
from recipes.digits.evidence import when_and_where  # noqa: E402
from recipes.digits.pool import FeaturePool, PoolSource, encode_pool  # noqa: E402
from recipes.digits.tables import Examined  # noqa: E402


@pytest.fixture(scope="module")
def own_sources():
    return Sources.from_folders()


@pytest.fixture(scope="module")
def composed(tmp_path_factory, own_sources):
    return pools.compose_pool(tmp_path_factory.mktemp("composed"), own_sources, 6, 3, pools.bin_centres, workers=1)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, composed, own_sources):
    model = AVGN(tiny_settings(labels=own_sources.classes)).eval()
    return model, encode_pool(model, composed, tmp_path_factory.mktemp("encoded") / "features.npy")


def test_what_is_known_of_moments_fits_together(composed):
    assert composed.seen.any()
    assert composed.spoken.any()
    card = np.isfinite(composed.card).all(axis=2)
    np.testing.assert_array_equal(card, composed.seen)
    assert composed.heard[composed.spoken].all()  # a word is a sound
    assert composed.label.tolist() == [0, 1, 2, 3, 4, 5]  # classes in turn


def test_a_pool_is_opened_again_and_not_composed_again(tmp_path, own_sources):
    first = pools.compose_pool(tmp_path, own_sources, 1, 3, pools.bin_centres, workers=1)
    stamp = (tmp_path / "frames.npy").stat().st_mtime_ns
    again = pools.compose_pool(tmp_path, own_sources, 1, 3, pools.bin_centres, workers=1)
    assert (tmp_path / "frames.npy").stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(first.frames, again.frames)


def test_compression_changes_the_pixels_a_little_and_nothing_else(tmp_path, own_sources):
    lossy, clean = Variation(), replace(Variation(), jpeg_quality=None)
    one, other = (
        pools.compose_pool(tmp_path / name, own_sources, 1, 3, pools.bin_centres, variation, workers=1)
        for name, variation in (("lossy", lossy), ("clean", clean))
    )
    difference = np.abs(one.frames.astype(int) - other.frames.astype(int))
    assert 0 < difference.mean() < 12
    np.testing.assert_array_equal(one.spectrograms, other.spectrograms)


@pytest.mark.slow
def test_decoding_a_set_gives_what_composing_its_clips_gives(tmp_path, own_sources):
    """Other pixels by what the encoder lost; the same truth."""
    write_dataset(tmp_path / "set", clips=2, seed=5, sources=own_sources, val_fraction=1.0)
    pool = pools.decode_pool(tmp_path / "pool", tmp_path / "set", own_sources.classes)
    assert len(pool) == 2
    np.testing.assert_array_equal(np.isfinite(pool.card).all(axis=2), pool.seen)
    assert (pool.seen | pool.spoken).any()
    again = pools.decode_pool(tmp_path / "pool", tmp_path / "set", own_sources.classes)
    np.testing.assert_array_equal(pool.frames, again.frames)
    # Where a card is, its edges are: a patch around it varies more than the frame's own texture is likely to.
    clip, moment = (int(index[0]) for index in np.nonzero(pool.seen))
    x, y = pool.card[clip, moment].astype(int)
    around = pool.frames[clip, moment, max(0, y - 20) : y + 20, max(0, x - 12) : x + 12]
    assert around.std() > 20


def test_an_epoch_can_be_entered_anywhere_and_repeated(encoded):
    _, data = encoded
    source = PoolSource(data, size=2, seed=1)
    assert source.batches == 3
    whole = [batch.target for batch in source.epoch(4)]
    torch.testing.assert_close(whole, [batch.target for batch in source.epoch(4)])
    torch.testing.assert_close(whole[1:], [batch.target for batch in source.epoch(4, first=1)])
    frames = {batch.frames.sum().item() for number in range(4) for batch in source.epoch(number)}
    assert len(frames) > 3  # other epochs have other batches


def test_features_are_those_of_the_encoders(encoded, composed):
    model, data = encoded
    batch = data.batch(np.array([0]))
    with torch.no_grad():
        maps = model.global_encoder(batch.frames[0])
        audio = model.audio_encoder(batch.spectrograms[0])
    torch.testing.assert_close(batch.maps[0].float(), maps, atol=0.05 * float(maps.std()) + 0.05, rtol=0.1)
    torch.testing.assert_close(batch.audio[0], audio)
    reopened = FeaturePool.open(composed, data.maps.filename)
    np.testing.assert_array_equal(reopened.audio, data.audio)


def test_when_and_where_count_the_first_look(composed):
    clips = len(composed)
    evident = composed.seen | composed.spoken
    best = torch.from_numpy(np.where(composed.seen.any(axis=1), composed.seen.argmax(axis=1), evident.argmax(axis=1)))
    card = torch.from_numpy(np.nan_to_num(composed.card)[np.arange(clips), best.numpy()])
    corner = (card - 64).clamp(0, 96)
    nothing = torch.zeros(clips, 1)
    there = Looks(torch.zeros(clips, 16), best[:, None], corner[:, None], nothing, nothing)
    assert when_and_where(there, composed, 128) == (1.0, 1.0)
    elsewhere = torch.from_numpy((~evident).argmax(axis=1))
    away = Looks(torch.zeros(clips, 16), elsewhere[:, None], corner[:, None], nothing, nothing)
    assert when_and_where(away, composed, 128)[0] == 0.0
    far = Looks(torch.zeros(clips, 16), best[:, None], (corner + 200)[:, None], nothing, nothing)
    assert when_and_where(far, composed, 128) == (1.0, 0.0)


def test_switches_of_an_examined_network_go_back(encoded):
    model, data = encoded
    one = Examined("tiny", model, data)
    before = one.ask(looks=2).looks
    with one.uniform():
        assert one.ask(looks=2).looks.moments[0].tolist() == [7, 0]
    with one.centred():
        assert (one.ask(looks=2).looks.top_left == 48).all()
    torch.testing.assert_close(one.ask(looks=2).looks.moments, before.moments)
    assert 0 <= one.sound_alone() <= 1
