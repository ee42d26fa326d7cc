from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from media_makers import SoundSpec, VideoSpec, make_media, tone

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets import DataSet, Findings, LabelledClip, check, read_dataset

VIDEO = VideoSpec(times=[i / 10 for i in range(40)], size=(64, 48))
SOUND = SoundSpec(tone(440, 4, 22_050), 22_050)


@pytest.fixture(scope="module")
def media():
    """Bytes of files, good and bad."""
    whole = make_media(VIDEO, SOUND)
    moov_first = make_media(VIDEO, SOUND, movflags="faststart")
    zeroed = bytearray(moov_first)
    start = zeroed.index(b"mdat") + 4
    zeroed[start:] = bytes(len(zeroed) - start)
    return {
        "whole": whole,
        "silent": make_media(VIDEO),
        "sound": make_media(None, SOUND),
        "silence": make_media(VIDEO, SoundSpec(np.zeros((4 * 22_050, 1), np.float32), 22_050)),
        "short sound": make_media(VIDEO, SoundSpec(tone(440, 0.5, 22_050), 22_050)),
        "empty": b"",
        "text": b"404 not found\n" * 20,
        "cut": whole[: len(whole) // 2],
        "cut before its middle": moov_first[: len(moov_first) * 3 // 10],
        "zeros": bytes(zeroed),
    }


@pytest.fixture
def folder(tmp_path, media):
    """Writes `kind` files as a folder of class folders: {"dog/a.mp4": kind}; None leaves one out."""

    def write(files):
        for name, kind in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(media[kind])
        return tmp_path

    return write


def check_one(folder, kind) -> Findings:
    return check(read_dataset(folder({"dog/a.mp4": kind})))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "empty"),
        ("text", "damaged, cut short, or not media"),
        ("cut", "damaged, cut short, or not media"),
        ("cut before its middle", "the video ends at"),
        ("zeros", "none of its frames can be decoded"),
    ],
)
def test_a_clip_that_cannot_be_read_is_named_with_the_reason(folder, kind, reason):
    found = check_one(folder, kind)
    assert found.usable.clips == ()
    [(name, why)] = found.unreadable
    assert name == "dog/a.mp4"
    assert reason in why
    assert any(name in warning and why in warning for warning in found.warnings())


@pytest.mark.parametrize("kind", ["whole", "silence", "silent", "sound", "short sound"])
def test_a_clip_that_can_be_read_is_usable_whatever_it_lacks(folder, kind):
    found = check_one(folder, kind)
    assert found.usable == found.dataset
    assert found.without_audio == (("dog/a.mp4",) if kind == "silent" else ())
    assert found.without_video == (("dog/a.mp4",) if kind == "sound" else ())
    assert bool(found.doubtful) == (kind == "short sound")


def test_missing_files_and_segments_outside_their_files_are_unreadable(folder):
    root = folder({"a.mp4": "whole"})
    table = "path,label,start,end\na.mp4,dog,1,3\na.mp4,dog,5,6\nb.mp4,cat,,\n"
    (root / "set.csv").write_text(table)
    found = check(read_dataset(root / "set.csv"))
    assert [name for name, _ in found.unreadable] == ["a.mp4", "b.mp4"]
    assert "5 s to 6 s is not inside" in found.unreadable[0][1]
    assert "No such file" in found.unreadable[1][1]
    assert [clip.start_s for clip in found.usable.clips] == [1]
    assert found.usable.labels == ("cat", "dog")


def test_workers_find_what_one_process_finds(folder):
    files = {f"dog/{i}.mp4": kind for i, kind in enumerate(["whole", "cut", "sound", "silent"] * 3)}
    dataset = read_dataset(folder(files))
    told = []
    found = check(dataset, workers=2, progress=lambda done, of: told.append((done, of)))
    assert found == check(dataset)
    assert told == [(i, 12) for i in range(1, 13)]
    assert pickle.loads(pickle.dumps(found)) == found


def findings(readable, unreadable=0):
    """Findings without media: labels of readable clips, all to train on, and how many others there are."""
    clips = [LabelledClip(Path(f"{i}"), f"{i}", (label,), "train") for i, label in enumerate(readable)]
    bad = [LabelledClip(Path(f"bad{i}"), f"bad{i}", (readable[0],), "train") for i in range(unreadable)]
    dataset = DataSet.of(Path("set.csv"), [*clips, *bad])
    usable = replace(dataset, clips=tuple(clips))
    return Findings(dataset, usable, tuple((clip.name, "it is empty") for clip in bad), (), (), ())


@pytest.mark.parametrize("need", ["require", "require_readable"])
def test_a_tenth_may_be_unreadable_and_no_more(need):
    labels = ["dog"] * 9 + ["cat"] * 9
    getattr(findings(labels, 2), need)()
    with pytest.raises(DataError) as caught:
        getattr(findings(labels, 3), need)()
    text = str(caught.value)
    assert "3 of 21 clips cannot be read" in text
    assert "bad0 (it is empty), bad1 (it is empty), bad2" in text


def test_a_message_names_a_few_of_many():
    with pytest.raises(DataError, match=r"bad2 \(it is empty\) and 7 more"):
        findings(["dog", "cat"], 10).require()


def test_a_single_class_teaches_nothing_but_can_be_evaluated():
    found = findings(["dog"] * 9)
    found.require_readable()
    with pytest.raises(DataError, match="a single class, dog"):
        found.require()


def test_every_class_needs_a_clip_to_train_on():
    found = findings(["dog"] * 9 + ["cat"] * 9)
    found.require()
    clips = tuple(replace(clip, split="val" if "cat" in clip.labels else None) for clip in found.usable.clips)
    held_out = replace(found, usable=replace(found.usable, clips=clips))
    held_out.require_readable()
    with pytest.raises(DataError, match="no clip to train on that can be read in 1 classes: cat"):
        held_out.require()
    assert held_out.training_clips == {"cat": 0, "dog": 9}


def test_small_classes_are_worth_a_warning():
    found = findings(["dog"] * 5 + ["cat"] * 4)
    assert found.too_few_of_class == (("cat", 4),)
    assert [text for text in found.warnings() if "cat (4)" in text]
    assert findings(["dog"] * 5 + ["cat"] * 5).warnings() == ()


def test_a_worker_that_dies_is_an_error(folder, monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    from avgn_edge._base import processes

    class Pool:
        def __init__(self, *_, **__): ...

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def map(self, *_, **__):
            raise BrokenProcessPool

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Pool)
    with pytest.raises(DataError, match="worker process died"):
        check(read_dataset(folder({"dog/a.mp4": "whole"})), workers=2)
