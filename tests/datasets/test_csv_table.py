from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgn_edge._base.errors import DataError
from avgn_edge.data.datasets import LabelledClip, read_dataset


def read(folder: Path, text: str | bytes):
    path = folder / "set.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_dataset(path)


def test_a_row_is_a_clip_with_its_labels_split_and_times(tmp_path):
    found = read(tmp_path, "path,label,start,end,split\nclips/a.mp4,dog|bark,1.5,3,training\nb.mp4,cat,,,other\n")
    assert found.clips == (
        LabelledClip(tmp_path / "clips/a.mp4", "clips/a.mp4", ("dog", "bark"), "train", 1.5, 3.0),
        LabelledClip(tmp_path / "b.mp4", "b.mp4", ("cat",), "other"),
    )
    assert found.labels == ("bark", "cat", "dog")
    assert found.task == "multi-label"


def test_path_and_label_are_enough_and_one_label_each_is_single_label(tmp_path):
    found = read(tmp_path, "label,path\ndog,a.mp4\n")
    assert found.clips == (LabelledClip(tmp_path / "a.mp4", "a.mp4", ("dog",)),)
    assert found.task == "single-label"


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfpath,label\r\na.mp4,dog\r\n",
        b"path,label\na.mp4,dog",
        b"Path, Label ,note\na.mp4,dog,x\n",
        b"path,label\n\n,\na.mp4, dog \n\n",
        b"path,label\na.mp4,dog|dog\n",
        b'path, label\n a.mp4, "dog"\n',
        b'"path", "label"\n"a.mp4", "dog| dog"\n',
        b'path,label,note\na.mp4,dog, "said ""no"", twice"\n',
    ],
)
def test_ways_of_writing_the_same_table(tmp_path, text):
    found = read(tmp_path, text)
    assert [(clip.name, clip.labels) for clip in found.clips] == [("a.mp4", ("dog",))]


def test_absolute_paths_stay_and_others_start_at_the_table(tmp_path):
    found = read(tmp_path, "path,label\n/else/a.mp4,dog\n../b.mp4,dog\n")
    assert [clip.path for clip in found.clips] == [Path("/else/a.mp4"), tmp_path / "../b.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column path and no label"),
        ("path;label\na.mp4;dog\n", "no column path"),
        ("path,labels\na.mp4,dog\n", "no column label"),
        ("path,label,label\na.mp4,dog,cat\n", "label twice"),
        ("path,label\n", "no clips"),
        ("path,label\na.mp4,dog\nb.mp4\n", "line 3: it has 1 fields where the first line has 2"),
        ("path,label\na, b.mp4,dog\n", "line 2: it has 3 fields"),
        ("path,label\n,dog\n", "line 2: it has no path"),
        ("path,label\na.mp4,\n", "line 2: it has no label"),
        ("path,label\na.mp4,dog|\n", "line 2: a label is missing"),
        ("path,label,start\na.mp4,dog,soon\n", "line 2: its start is 'soon'"),
        ("path,label,start\na.mp4,dog,-1\n", "line 2: its start is '-1'"),
        ("path,label,end\na.mp4,dog,nan\n", "line 2: its end is 'nan'"),
        ("path,label,end\na.mp4,dog,0\n", "line 2: it ends at 0 s"),
        ("path,label,start,end\na.mp4,dog,3,3\n", "line 2: it ends at 3 s, before it begins"),
        ('path,label\n"a.mp4,dog\n', "line 2: it cannot be read"),
        ('path,label\na.mp4,dog\nb.mp4,"cat" \n', "line 3: it cannot be read"),
        ('path,label\na.mp4,\t"1|2"\n', "line 2: a quotation mark stands inside a cell"),
        ('path,label\n"a\n.mp4",dog "big"\n', "line 3: a quotation mark stands inside a cell"),
        ("path,label\na.mp4,dog\nb.mp4,d\x07g\n", "line 3: the label 'd\\x07g' cannot be one: it holds an unprintable"),
        (f"path,label\na.mp4,{'x' * 201}\n", "cannot be one: it has 201 characters, where 200 are allowed"),
        (b"path,label\n\xff\xfe.mp4,dog\n", "not UTF-8"),
    ],
)
def test_what_cannot_be_is_named_in_one_line(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert "set.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="|", exclude_categories=("C", "Z")), min_size=1)


@given(
    st.lists(
        st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3, unique=True), st.floats(0, 1e6), st.floats(0.1, 1e6)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_is_read_back(tmp_path_factory, rows, ends):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=ends)
    writer.writerow(["path", "label", "start", "end"])
    writer.writerows([path, "|".join(labels), start, start + length] for path, labels, start, length in rows)
    found = read(tmp_path_factory.mktemp("set"), text.getvalue())
    assert [(clip.name, list(clip.labels), clip.start_s, clip.end_s) for clip in found.clips] == [
        (path, [label.strip() for label in labels], start, start + length) for path, labels, start, length in rows
    ]
