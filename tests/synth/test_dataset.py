"""Written sets: readable, the same bytes each time, and described by their CSV and truth."""

import csv
import json
from collections import Counter

import av
import numpy as np
import pytest

from avgn_edge._base.errors import DataError
from avgn_edge.data.synth import Recipe, render_audio, render_frame, write_dataset


@pytest.fixture(scope="module")
def written(tmp_path_factory, own_sources):
    told = []
    root = tmp_path_factory.mktemp("set")
    summary = write_dataset(
        root, clips=3, seed=6, sources=own_sources, val_fraction=0.4, progress=lambda done, of: told.append((done, of))
    )
    return root, summary, told


def test_csv_truth_and_clips_agree(written):
    root, summary, told = written
    with (root / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = json.loads((root / "truth.json").read_text())
    assert list(rows[0]) == ["path", "label", "split"]
    assert [row["path"] for row in rows] == list(truth)
    assert all((root / row["path"]).is_file() for row in rows)
    assert [row["label"] for row in rows] == [told["class"] for told in truth.values()]
    assert Counter(row["split"] for row in rows) == summary.by_split == {"train": 2, "val": 1}
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert summary.clips == 3
    assert not list(root.rglob("*.part"))


def test_files_are_h264_and_aac_as_planned(written, own_sources):
    root, _, _ = written
    recipe = Recipe.of(own_sources, 6, 0.4)
    for index, path in enumerate(sorted((root / "clips").iterdir())):
        plan = recipe.plan(index)
        with av.open(str(path)) as container:
            video, sound = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, sound.codec_context.name) == ("h264", "aac")
            assert (video.width, video.height, video.average_rate) == (640, 360, 15)
            assert sound.rate == 44_100
            assert sound.layout.name == ("mono" if plan.stereo_balance is None else "stereo")
            assert container.duration / 1e6 == pytest.approx(plan.duration, abs=0.05)
            frames = list(container.decode(video))
        assert len(frames) == plan.frames
        assert [i for i, f in enumerate(frames) if f.key_frame] == list(range(0, plan.frames, plan.key_interval))
        middle = len(frames) // 2
        rendered = render_frame(plan, middle / 15).astype(float)
        assert np.abs(frames[middle].to_ndarray(format="rgb24") - rendered).mean() < 12


def test_written_sound_starts_with_the_picture(written, own_sources):
    root, _, _ = written
    recipe = Recipe.of(own_sources, 6, 0.4)
    with av.open(str(root / "clips/000000.mp4")) as container:
        heard = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in container.decode(audio=0)])
    wanted = render_audio(recipe.plan(0))
    count = min(len(heard), len(wanted))
    spectra = np.fft.rfft(heard[:count]), np.fft.rfft(wanted[:count])
    lag = int(np.fft.irfft(spectra[0] * np.conj(spectra[1]), count).argmax())
    assert min(lag, count - lag) <= 2


def test_same_seed_writes_the_same_bytes_whatever_the_size_and_workers(written, own_sources, tmp_path):
    root, _, _ = written
    write_dataset(tmp_path, clips=2, seed=6, sources=own_sources, val_fraction=0.4, workers=2)
    for name in ("clips/000000.mp4", "clips/000001.mp4"):
        assert (tmp_path / name).read_bytes() == (root / name).read_bytes()
    fewer = json.loads((tmp_path / "truth.json").read_text())
    assert fewer == {name: json.loads((root / "truth.json").read_text())[name] for name in fewer}


def test_classes_come_equally_often_and_validation_is_spread(own_sources):
    recipe = Recipe.of(own_sources, 1, 0.2)
    assert set(Counter(recipe.label(index) for index in range(200)).values()) == {20}
    parts = [recipe.part(index) for index in range(200)]
    assert parts.count("val") == 40
    assert [recipe.label(index) for index in range(20)] != list("0123456789") * 2
    assert Recipe.of(own_sources, 1, 0).part(17) == "train"


def test_parts_of_a_set_share_no_media(own_sources):
    recipe = Recipe.of(own_sources, 1, 0.5)
    photographs = {"train": set(), "val": set()}
    for index in range(40):
        photographs[recipe.part(index)] |= {scene.photograph for scene in recipe.plan(index).scenes}
    assert not photographs["train"] & photographs["val"]


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"seed": -1}, {"val_fraction": 1.5}])
def test_impossible_settings_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match=r"^synth: .*: "):
        write_dataset(tmp_path, **{"clips": 1, "seed": 0, **wrong})


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_dataset(tmp_path / "file", clips=1, seed=0)
