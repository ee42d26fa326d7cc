"""Media from folders, our own where there are none, and a validation part that training never meets."""

from pathlib import Path

import numpy as np
import pytest

from avgn_edge._base.errors import DataError
from avgn_edge.data.synth import Sources, clip_rng, plan_clip
from avgn_edge.data.synth.sources import ink_of, spoken_word
from recipes.digits.moments import compose_moments


def used(sources):
    listed = [*sources.backgrounds, *sources.environment]
    for label in sources.classes:
        listed += [*sources.objects[label], *sources.sounds[label]]
    return set(listed)


def test_without_folders_there_are_ten_digits(own_sources):
    assert own_sources.classes == tuple("0123456789")
    assert all(own_sources.objects[label] and own_sources.sounds[label] for label in own_sources.classes)
    assert own_sources.backgrounds
    assert own_sources.environment


def test_validation_shares_nothing_with_training(any_sources):
    train, val = any_sources.split("train"), any_sources.split("val")
    assert not used(train) & used(val)
    assert used(train) | used(val) == used(any_sources)
    assert not set(train.speakers) & set(val.speakers)
    assert val.speakers == any_sources.speakers[-1:]
    assert train.classes == val.classes


def test_plans_of_a_part_hold_media_of_that_part(any_sources):
    val = any_sources.split("val")
    allowed = used(val)
    for index in range(20):
        plan = plan_clip(clip_rng(0, index), val)
        media = [scene.photograph for scene in plan.scenes] + [bed.recording for bed in plan.beds]
        media += [decoy.sound.recording for decoy in plan.decoys]
        for episode in plan.episodes:
            media += [episode.card.holds, *(word.recording for word in episode.words)]
        assert set(media) <= allowed


def test_the_speaker_kept_for_validation_can_be_named(own_sources):
    assert own_sources.split("val", speaker="voice2").speakers == ("voice2",)
    assert "voice2" not in own_sources.split("train", speaker="voice2").speakers
    with pytest.raises(DataError, match="no sound is by 'nobody'"):
        own_sources.split("val", speaker="nobody")


def test_real_recordings_are_split_as_promised(real_sources):
    train, val = real_sources.split("train"), real_sources.split("val")
    assert val.speakers == ("yweweler",)
    assert len(val.objects["3"]) == 120
    assert len(val.backgrounds) == 105
    assert len(train.environment) == 260


def test_folders_of_any_classes_compose(folders):
    sources = Sources.from_folders(**folders)
    assert sources.classes == ("cat", "dog")
    assert sources.speakers == ("ann", "bob")
    plan = plan_clip(clip_rng(0, 0), sources.split("train"))
    frames, windows = compose_moments(plan, [1.0, 2.0])
    assert frames.std() > 0
    assert np.isfinite(windows).all()


@pytest.mark.parametrize("given", ["objects", "sounds", "backgrounds", "environment"])
def test_any_folder_may_be_missing(folders, given):
    sources = Sources.from_folders(**{given: folders[given]})
    plan = plan_clip(clip_rng(0, 1), sources.split("val"))
    compose_moments(plan, [plan.episodes[0].start + 0.5, plan.decoys[0].start + 0.5])


def test_order_does_not_depend_on_the_file_system(folders, monkeypatch):
    listed = Sources.from_folders(**folders)
    ordinary = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: reversed(list(ordinary(self, pattern))))
    assert Sources.from_folders(**folders) == listed


@pytest.mark.parametrize("given", ["objects", "sounds", "backgrounds", "environment"])
def test_missing_and_empty_folders_are_one_line_errors(tmp_path, given):
    with pytest.raises(DataError, match="is not a folder: give") as missing:
        Sources.from_folders(**{given: tmp_path / "absent"})
    with pytest.raises(DataError, match="holds no") as empty:
        Sources.from_folders(**{given: tmp_path})
    assert "\n" not in str(missing.value) + str(empty.value)


def test_recordings_are_split_where_speakers_are_not_told_apart(folders):
    for label in ("cat", "dog"):
        for sound in sorted((folders["sounds"] / label).iterdir()):
            sound.rename(sound.with_name(f"{label}_{sound.stem.replace('_', '-')}.wav"))
    sources = Sources.from_folders(**folders)
    train, val = sources.split("train"), sources.split("val")
    assert not used(train) & used(val)
    assert all(train.sounds[label] and val.sounds[label] for label in sources.classes)
    with pytest.raises(DataError, match="do not both say every class"):
        sources.split("val", speaker="dog")


def test_objects_and_sounds_must_agree_on_classes(folders):
    (folders["sounds"] / "dog").rename(folders["sounds"] / "cow")
    with pytest.raises(DataError, match=r"same classes \(cow, dog\)"):
        Sources.from_folders(objects=folders["objects"], sounds=folders["sounds"])


def test_a_damaged_file_is_named(folders):
    for picture in folders["objects"].rglob("*.png"):
        picture.write_bytes(b"no picture")
    for sound in folders["sounds"].rglob("*.wav"):
        sound.write_bytes(b"no sound")
    sources = Sources.from_folders(objects=folders["objects"], sounds=folders["sounds"])
    with pytest.raises(DataError, match=r"0\.png: not a picture"):
        ink_of(sources.objects["cat"][0])
    with pytest.raises(DataError, match=r"ann_0\.wav: not a sound"):
        spoken_word(sources.sounds["cat"][0])
