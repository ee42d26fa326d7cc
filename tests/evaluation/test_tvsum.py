"""TVSum's annotations are read as they are published, and top-5 mAP is what the protocol says."""

from __future__ import annotations

import numpy as np
import pytest
from highlight_makers import made_highlights

from avgn_edge._base.errors import DataError
from avgn_edge.data.evaluation.tvsum import (
    evaluate_tvsum,
    read_annotations,
    shot_scores,
    top_precision,
    videos_in,
)

FPS = 5


def write_annotations(path, videos):
    """`videos`: id -> (category, a list of shots' scores an annotator), each shot two seconds of frames."""
    lines = [
        f"{video}\t{category}\t{','.join(str(score) for score in shots for _ in range(2 * FPS))}"
        for video, (category, annotators) in videos.items()
        for shots in annotators
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def by_hand(hits):
    """Average precision by trapezoids, step by step."""
    found, before, total = 0, 1.0, 0.0
    for place, hit in enumerate(hits, start=1):
        found += hit
        precision = found / place
        total += hit * (before + precision) / 2
        before = precision
    return total / sum(hits) if sum(hits) else 0.0


@pytest.mark.parametrize("hits", [(1, 1, 1, 1, 1), (0, 0, 0, 0, 0), (1, 0, 1, 0, 0), (0, 0, 0, 0, 1), (0, 1, 1, 0, 1)])
def test_the_precision_of_five_shots_is_the_area_under_their_curve(hits):
    annotated = np.array([5.0 if hit else 1.0 for hit in hits] + [1.0] * 12)
    predicted = np.arange(17, 0, -1).astype(float)
    assert top_precision(predicted, annotated) == pytest.approx(by_hand(hits))


def test_a_highlight_is_above_the_lower_median():
    annotated = np.array([1, 1, 2, 2, 3, 3.0])  # the lower of the two in the middle is 2
    assert top_precision(np.array([0, 0, 0, 0, 1, 1.0]), annotated, top=2) == 1.0
    assert top_precision(np.array([0, 0, 1, 1, 0, 0.0]), annotated, top=2) == 0.0


def test_annotations_are_rows_of_annotators_and_shots_are_two_seconds_of_frames(tmp_path):
    path = write_annotations(tmp_path / "anno.tsv", {"x-1": ("VT", [[1, 5, 2], [3, 4, 3]])})
    annotation = read_annotations(path)["x-1"]
    assert annotation.category == "VT"
    assert annotation.frame_scores.shape == (2, 6 * FPS)
    np.testing.assert_array_equal(annotation.shots(6.0), [[1, 5, 2], [3, 4, 3]])
    np.testing.assert_array_equal(annotation.shots(6.3), [[1, 5, 2], [3, 4, 3]])  # headers round


def test_a_video_twice_as_long_as_the_csv_modules_limit_is_read(tmp_path):
    path = write_annotations(tmp_path / "anno.tsv", {"long": ("VT", [[1, 2] * 8_000])})
    assert path.stat().st_size > 2 * 131_072
    assert read_annotations(path)["long"].frame_scores.shape == (1, 160_000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no line"),
        ("a\tVT\n", "not an id"),
        ("a\tVT\t1,x\n", "not an id"),
        ("a\tVT\t1,2\na\tVT\t1\n", "different numbers of frames"),
    ],
)
def test_other_files_are_refused_in_a_line(tmp_path, text, why):
    (tmp_path / "anno.tsv").write_text(text)
    with pytest.raises(DataError, match=why):
        read_annotations(tmp_path / "anno.tsv")
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.tsv")


def test_a_shot_scores_what_its_moments_do_on_average():
    told = made_highlights(duration_s=8.0, scores=[0.1, 0.3, 0.5, 0.5, 0.9, 0.7, 0.0, 0.2])  # a moment a second
    np.testing.assert_allclose(shot_scores(told), [0.2, 0.5, 0.8, 0.1], atol=1e-6)


def test_the_figure_is_the_mean_over_annotators_and_videos_and_names_what_is_missing(tmp_path):
    good = [5, 5, 5, 5, 5, 1, 1, 1, 1, 1, 1, 1]
    videos = {"a": ("VT", [good, good[::-1]]), "b": ("PK", [good, good]), "c": ("PK", [good, good])}
    annotations = read_annotations(write_annotations(tmp_path / "anno.tsv", videos))
    for name in ("a.mp4", "b.mkv", "notes.txt"):
        (tmp_path / name).touch()
    found = videos_in(tmp_path)
    assert set(found) == {"a", "b"}
    scores = np.repeat(np.linspace(1, 0, 12), 2)
    done = []
    row = evaluate_tvsum(annotations, found, lambda _: made_highlights(duration_s=24.0, scores=scores), done.append)
    assert row.by_category == {"PK": pytest.approx(1.0), "VT": pytest.approx(0.5)}
    assert row.top5_map == pytest.approx(0.75)
    assert (row.videos, row.missing, done) == (2, ("c",), [1, 2])
    with pytest.raises(DataError, match="no annotated video has a file"):
        evaluate_tvsum(annotations, {}, lambda _: made_highlights())
