from __future__ import annotations

from pathlib import Path

import pytest

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets import read_dataset


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_each_folder_is_a_class_and_clips_may_lie_deeper(tmp_path):
    make(tmp_path, "dog/a.mp4", "dog/day 2/b.MOV", "cat/c.wav", "cat/notes.txt", "cat/.d.mp4", ".git/e.mp4", "README")
    found = read_dataset(tmp_path)
    assert [(clip.name, clip.labels) for clip in found.clips] == [
        ("cat/c.wav", ("cat",)),
        ("dog/a.mp4", ("dog",)),
        ("dog/day 2/b.MOV", ("dog",)),
    ]
    assert all(clip.path == tmp_path / clip.name and clip.split is None for clip in found.clips)
    assert found.labels == ("cat", "dog")
    assert found.source == tmp_path


def test_a_folder_with_a_table_is_read_as_the_table(tmp_path):
    make(tmp_path, "clips/a.mp4", "clips/b.mp4")
    (tmp_path / "labels.csv").write_text("path,label,split\nclips/a.mp4,dog,val\n")
    found = read_dataset(tmp_path)
    assert found.source == tmp_path
    assert [(clip.path, clip.labels, clip.split) for clip in found.clips] == [
        (tmp_path / "clips/a.mp4", ("dog",), "val")
    ]


def test_folders_named_as_splits_hold_the_folders_of_the_classes(tmp_path):
    found = read_dataset(make(tmp_path, "train/dog/a.mp4", "train/cat/b.mp4", "validation/dog/c.mp4"))
    assert found.labels == ("cat", "dog")
    assert {(clip.name, clip.split) for clip in found.clips} == {
        ("train/dog/a.mp4", "train"),
        ("train/cat/b.mp4", "train"),
        ("validation/dog/c.mp4", "val"),
    }


def test_a_class_may_be_named_as_a_split_among_others(tmp_path):
    assert read_dataset(make(tmp_path, "train/a.mp4", "bus/b.mp4")).labels == ("bus", "train")


def test_a_linked_class_is_read_and_links_inside_are_not_followed(tmp_path):
    make(tmp_path / "elsewhere", "a.mp4")
    root = make(tmp_path / "set", "cat/b.mp4")
    (root / "dog").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "again").symlink_to(root)
    assert [clip.name for clip in read_dataset(root).clips] == ["cat/b.mp4", "dog/a.mp4"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "no folders"),
        (("dog/a.mp4", "cat/a.txt"), "no media files in"),
        (("dog/a.mp4", "b.mp4"), "b.mp4 lies in"),
        (("train/a.mp4", "val/b.mp4"), "a.mp4 lies in"),
        (("train/dog/a.mp4", "val/notes.txt"), "no folders in"),
    ],
)
def test_what_would_go_unnoticed_is_an_error(tmp_path, names, message):
    with pytest.raises(DataError, match=message):
        read_dataset(make(tmp_path, *names))


@pytest.mark.parametrize(
    ("name", "message"), [("missing", "no such file"), ("missing.csv", "No such file"), ("a.txt", "neither a folder")]
)
def test_what_is_no_data_set_is_an_error(tmp_path, name, message):
    make(tmp_path, "a.txt")
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path / name)


def test_a_folder_of_videos_goes_with_a_json_only(tmp_path):
    with pytest.raises(DataError, match="leave --videos out"):
        read_dataset(make(tmp_path, "dog/a.mp4"), videos=tmp_path)


@pytest.mark.parametrize("name", ["walk ", " walk", "wa\tlk", "x" * 201, "walk\udcff"])
def test_a_folder_whose_name_no_bundle_takes_for_a_label_is_refused(tmp_path, name):
    make(tmp_path, "dog/a.mp4", f"{name}/b.mp4")
    with pytest.raises(DataError, match="cannot be one") as caught:
        read_dataset(tmp_path)
    assert ascii(name) in str(caught.value)
