from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets import DataSet, LabelledClip
from avgn_edge.data.datasets.data_set import split_name

SOURCE = Path("set.csv")


def clip(name, *labels, split=None, start_s=None):
    return LabelledClip(Path("clips") / name, name, labels, split, start_s)


def balanced(classes, each):
    return DataSet.of(
        SOURCE, [clip(f"{label}-{i}.mp4", f"class {label}") for i in range(each) for label in range(classes)]
    )


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("training", "train"),
        (" Val ", "val"),
        ("validation", "val"),
        ("TESTING", "test"),
        ("fold1", "fold1"),
        ("", None),
    ],
)
def test_splits_go_by_their_usual_names(word, name):
    assert split_name(word) == name


def test_a_part_keeps_the_labels_of_the_whole():
    whole = DataSet.of(SOURCE, [clip("a", "dog", split="train"), clip("b", "cat", split="val")])
    part = whole.part("validation")
    assert [found.name for found in part.clips] == ["b"]
    assert part.labels == whole.labels == ("cat", "dog")


def test_a_part_that_is_not_there_names_those_that_are():
    whole = DataSet.of(SOURCE, [clip("a", "dog", split="train"), clip("b", "cat", split="fold1")])
    with pytest.raises(DataError, match=r"'val'.*fold1, train"):
        whole.part("val")
    with pytest.raises(DataError, match="have none"):
        DataSet.of(SOURCE, [clip("a", "dog")]).part("val")


def test_the_splits_of_the_data_set_are_kept():
    clips = [clip("a", "dog", split="train"), clip("b", "dog", split="val"), clip("c", "dog", split="test")]
    train, val = DataSet.of(SOURCE, clips).train_and_val()
    assert (train.clips, val.clips) == ((clips[0],), (clips[1],))


def test_without_validation_some_of_training_is_held_out_and_nothing_of_the_test():
    clips = [clip(f"{i}", "dog", split="test" if i < 10 else "train") for i in range(30)]
    train, val = DataSet.of(SOURCE, clips).train_and_val(0.2)
    assert len(val.clips) == 4
    assert {found.split for found in (*train.clips, *val.clips)} == {"train"}


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([clip("a", "dog", split="val")], "'train'"),
        ([clip("a", "dog", split="train"), clip("b", "dog")], "1 of its 2 clips have no split"),
        ([clip("a", "dog"), clip("b", "cat")], "last training clip"),
        ([clip("a", "dog", start_s=0), clip("a", "dog", start_s=5)], "last training clip"),
    ],
)
def test_what_cannot_be_divided_is_an_error(clips, message):
    with pytest.raises(DataError, match=message):
        DataSet.of(SOURCE, clips).train_and_val()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_nonsense_fractions_are_refused(fraction):
    with pytest.raises(DataError, match="between 0 and 1"):
        balanced(2, 10).train_and_val(fraction)


@pytest.mark.parametrize(("classes", "each", "fraction"), [(3, 20, 0.1), (10, 7, 0.3), (40, 4, 0.1), (2, 100, 0.25)])
def test_every_class_gives_its_share(classes, each, fraction):
    _, val = balanced(classes, each).train_and_val(fraction)
    assert len(val.clips) == pytest.approx(classes * each * fraction, abs=1)
    shares = Counter(found.labels[0] for found in val.clips)
    assert all(abs(shares[label] - each * fraction) <= 1 for label in val.labels)


def test_two_seeds_hold_out_different_clips():
    whole = balanced(2, 50)
    assert whole.train_and_val(seed=0)[1].clips != whole.train_and_val(seed=1)[1].clips


def test_one_clip_is_held_out_however_few_there_are():
    assert len(balanced(2, 2).train_and_val(0.01)[1].clips) == 1


def test_file_names_need_not_be_utf8():
    whole = DataSet.of(SOURCE, [clip(f"\udcff{i}.mp4", "dog") for i in range(10)])
    assert len(whole.train_and_val()[1].clips) == 1


SETS = st.lists(
    st.tuples(st.integers(0, 15), st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True)), min_size=1
)


@given(SETS, st.floats(0.05, 0.6), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_division_loses_nothing_and_leaks_nothing(files, fraction, seed, random):
    whole = DataSet.of(SOURCE, [clip(f"{file}", *labels, start_s=i) for i, (file, labels) in enumerate(files)])
    try:
        train, val = whole.train_and_val(fraction, seed)
    except DataError:
        assume(False)
    assert sorted((*train.clips, *val.clips), key=lambda found: found.start_s) == list(whole.clips)
    assert val.clips
    assert not {found.path for found in train.clips} & {found.path for found in val.clips}
    assert {label for found in train.clips for label in found.labels} == set(whole.labels)
    # Neither the order nor the folder matters.
    elsewhere = [replace(found, path=Path("/else") / found.name) for found in whole.clips]
    random.shuffle(elsewhere)
    again = DataSet.of(Path("/else"), elsewhere).train_and_val(fraction, seed)[1]
    assert {found.start_s for found in again.clips} == {found.start_s for found in val.clips}
