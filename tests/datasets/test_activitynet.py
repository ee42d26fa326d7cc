from __future__ import annotations

import json

import pytest

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets import read_dataset


def video(subset, *labels):
    annotations = [{"segment": [0.0, 5.0], "label": label} for label in labels]
    return {"subset": subset, "duration": 10.0, "annotations": annotations, "url": "", "resolution": "320x240"}


@pytest.fixture
def read(tmp_path):
    """Reads a database whose videos lie in `tmp_path / "videos"`, with the files that are asked for."""

    def _read(database, *files, whole=None):
        table = tmp_path / "activity_net.v1-3.min.json"
        table.write_text(json.dumps({"database": database, "version": "VERSION 1.3"} if whole is None else whole))
        for file in ("videos/readme.txt", *(f"videos/{name}" for name in files)):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return read_dataset(table, tmp_path / "videos")

    return _read


def test_videos_have_the_labels_of_all_their_segments(read, tmp_path):
    found = read(
        {"a-1": video("training", "Polo", "Polo"), "b_2": video("validation", "Ski", "Polo"), "c": video("testing")},
        "v_a-1.mp4",
        "b_2.mkv",
    )
    assert [(clip.path, clip.name, clip.labels, clip.split) for clip in found.clips] == [
        (tmp_path / "videos/v_a-1.mp4", "a-1", ("Polo",), "train"),
        (tmp_path / "videos/b_2.mkv", "b_2", ("Ski", "Polo"), "val"),
    ]
    assert all(clip.start_s is None and clip.end_s is None for clip in found.clips)
    assert found.labels == ("Polo", "Ski")
    assert found.task == "multi-label"


def test_one_label_a_video_is_single_label(read):
    assert read({"a": video("training", "Polo", "Polo")}).task == "single-label"


def test_a_video_that_is_not_there_keeps_its_place(read):
    found = read({"a": video("training", "Polo")})
    assert len(found.clips) == 1
    assert not found.clips[0].path.exists()


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (("v_a.mp4", "v_a.wav"), "v_a.mp4"),
        (("a.mp4", "v_a.webm"), "v_a.webm"),
        (("v_a.mp4.part", "a.mp4"), "a.mp4"),
        (("train/v_a.mp4",), "train/v_a.mp4"),
    ],
)
def test_the_file_of_a_video(read, tmp_path, files, chosen):
    assert read({"a": video("training", "Polo")}, *files).clips[0].path == tmp_path / "videos" / chosen


def test_an_id_that_begins_as_a_file_name_does(read, tmp_path):
    found = read({"v_x": video("training", "Polo"), "x": video("training", "Ski")}, "v_v_x.mp4", "v_x.mp4")
    assert [clip.path.name for clip in found.clips] == ["v_v_x.mp4", "v_x.mp4"]


def test_without_its_videos_it_is_an_error_that_names_the_flag(read, tmp_path):
    read({"a": video("training", "Polo")})
    table = tmp_path / "activity_net.v1-3.min.json"
    for videos in (None, tmp_path / "none"):
        with pytest.raises(DataError, match="--videos"):
            read_dataset(table, videos)


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        ([], "no database"),
        ({"database": []}, "no database"),
        ({"database": {"a": []}}, "the video a has no subset"),
        ({"database": {"a": {"subset": "training"}}}, "the video a has no annotations"),
        ({"database": {"a": video("training", 3)}}, "the video a has no label"),
        ({"database": {"a": video("training")}}, "1 videos to train or validate on have no annotations, a among"),
        ({"database": {"a": video("testing")}}, "no clips"),
    ],
)
def test_another_json_is_an_error(read, whole, message):
    with pytest.raises(DataError, match=message):
        read({}, whole=whole)


def test_what_is_no_json_is_an_error(tmp_path):
    path = tmp_path / "a.json"
    for data in (b"path,label", b"\xff\xfe{}", b"[" * 100_000):
        path.write_bytes(data)
        with pytest.raises(DataError, match="not JSON"):
            read_dataset(path, tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_dataset(tmp_path / "b.json", tmp_path)


def test_blanks_around_a_label_do_not_count_and_other_faults_name_the_video(read):
    assert read({"a": video("training", "Polo ", "Polo")}).labels == ("Polo",)
    for label in ("", " ", "Po\u200blo", "x" * 201):
        with pytest.raises(DataError, match=r"the video a: the label .* cannot be one"):
            read({"a": video("training", label)})


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..\\x", "x\0"])
def test_an_id_that_leads_elsewhere_is_refused(read, name):
    with pytest.raises(DataError, match="cannot be the name of a file"):
        read({name: video("training", "Polo")})
