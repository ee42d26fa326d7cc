"""One pass over clips: each decoded once, whatever is asked of it; and what another precision does to the answers."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_makers import manifest_of
from media_makers import SoundSpec, VideoSpec, tone, write_media
from network_makers import LABELS, FakeBundle, FakeSession, ItemwiseEngine

from avgn_edge._base.errors import DataError
from avgn_edge.calibration import comparison
from avgn_edge.calibration.comparison import compare
from avgn_edge.calibration.trajectories import Row
from avgn_edge.data.datasets import LabelledClip
from avgn_edge.runtime.recognizer import Recognizer


class Precisions(ItemwiseEngine):
    """Computes something else in every precision."""

    def __init__(self, manifest):
        super().__init__(manifest)
        self.by_precision = {name: ItemwiseEngine(manifest, seed) for seed, name in enumerate(("fp32", "fp16", "int8"))}

    def open(self, path, precision="fp32"):
        return FakeSession(self.by_precision[precision], path.stem)


@pytest.fixture
def engine(monkeypatch):
    made = Precisions(manifest_of())
    monkeypatch.setattr(comparison, "open_engine", lambda *_, **__: made)
    return made


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Clips of four seconds, one of sound alone, and a file that is no clip."""
    folder = tmp_path_factory.mktemp("media")
    sound = SoundSpec(tone(440, 4, 16_000), 16_000)
    write_media(folder / "movie.mp4", VideoSpec(times=[i / 5 for i in range(20)], gop=5), sound)
    write_media(folder / "sound.mp4", None, sound)
    (folder / "broken.mp4").write_text("not a video")
    return folder


def labelled(media, *files):
    return [LabelledClip(media / file, f"{at}-{file}", (LABELS[at % 6],)) for at, file in enumerate(files)]


def measured(clips, *arguments, **named):
    return comparison.measure(FakeBundle(manifest_of()), clips, *arguments, **named)


@pytest.mark.usefixtures("engine")
def test_a_clip_that_cannot_be_read_is_skipped_and_named(media):
    clips = labelled(media, *["movie.mp4"] * 3, "broken.mp4", *["movie.mp4"] * 6, "sound.mp4")
    told = []
    result = measured(clips, ["fp32", "int8"], progress=told.append)
    assert told == list(range(1, 12))
    assert [failed.clip for failed in result.failed] == ["3-broken.mp4"]
    assert "broken.mp4" in result.failed[0].error
    assert result.places.tolist() == [0, 1, 2, *range(4, 11)]
    assert result.clips == tuple(clips[at] for at in result.places)
    assert set(result.rows) == {"fp32", "int8"}
    for rows in result.rows.values():
        assert len(rows) == 10
        assert all(set(row) == {0, 1, 2, 4, 8} for row in rows)
    assert result.rows["fp32"][-1][8].saliency is None  # the last is the one without pictures
    assert result.rows["fp32"][0][8].saliency is not None
    assert result.alone == {}


@pytest.mark.usefixtures("engine")
def test_more_than_a_tenth_that_cannot_be_read_stops_at_once(media):
    clips = labelled(media, "broken.mp4", "broken.mp4", *["movie.mp4"] * 9)
    told = []
    with pytest.raises(DataError, match=r"2 of 11 clips .*0-broken\.mp4"):
        measured(clips, ["fp32"], progress=told.append)
    assert told == [1]


def test_one_graph_in_another_precision_is_that_graph_and_no_other(media, engine):
    clips = labelled(media, "broken.mp4", *["movie.mp4"] * 10)
    alone = [("int8", "local_encoder"), ("fp16", "saliency")]
    result = measured(clips, ["fp32"], alone, 2)
    assert list(result.alone) == alone
    assert [len(rows) for rows in result.alone.values()] == [2, 2]  # of the first two that could be read
    ran = {name: {graph for graph, runs in one.items.items() if runs} for name, one in engine.by_precision.items()}
    assert ran == {"fp32": set(engine.items), "int8": {"local_encoder"}, "fp16": {"saliency"}}
    whole = result.rows["fp32"][0][8]
    patches, salient = (result.alone[pair][0] for pair in alone)
    np.testing.assert_array_equal(patches.saliency, whole.saliency)
    assert patches.corners == whole.corners
    assert (patches.probabilities[2:] != whole.probabilities[2:]).any()
    np.testing.assert_array_equal(patches.probabilities[:2], whole.probabilities[:2])
    assert (salient.saliency != whole.saliency).any()


@pytest.mark.usefixtures("engine")
def test_a_precision_that_only_one_graph_is_asked_in_has_no_rows_of_its_own(media):
    result = measured(labelled(media, "movie.mp4"), [], [("int8", "spatial")], 1)
    assert dict(result.rows) == {}
    assert len(result.alone["int8", "spatial"]) == 1


@pytest.mark.usefixtures("engine")
def test_a_part_of_a_file_is_a_clip_of_its_own(media):
    (whole,) = labelled(media, "movie.mp4")
    part = LabelledClip(whole.path, "part", whole.labels, start_s=1.0, end_s=2.5)
    rows = measured([whole, part], ["fp32"]).rows["fp32"]
    assert (rows[0][8].probabilities != rows[1][8].probabilities).any()


def test_rows_are_the_answers_of_the_network_s_own_recognizer(media, tiny_bundle):
    pytest.importorskip("onnxruntime")
    clips = labelled(media, "movie.mp4", "sound.mp4")
    result = comparison.measure(tiny_bundle, clips, ["fp32"], threads=1)
    with Recognizer.open(tiny_bundle, "cpu", "fp32", threads=1) as recognizer:
        for clip, row in zip(clips, result.rows["fp32"], strict=True):
            answer = recognizer.classify(clip.path)
            np.testing.assert_allclose(row[8].probabilities[-1], answer.probabilities, atol=1e-4)
            assert row[8].macs[-1] == round(answer.budget.spent_gflops * 1e9)


def test_truth_is_what_the_bundle_knows_of_the_labels(media):
    clips = [
        LabelledClip(media / "a", "a", ("rain", "dog")),
        LabelledClip(media / "b", "b", ("a label that it does not know",)),
        LabelledClip(media / "c", "c", ("violin", "a label that it does not know")),
    ]
    assert comparison.truth_of(clips, LABELS).astype(int).tolist() == [
        [1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
    ]


# ---- another precision ----------------------------------------------------------------------------------------------


def row(best, saliency=None, corners=()):
    """An answer that names class `best` of three, and where it looked."""
    scores = np.zeros((4, 3), dtype=np.float32)
    scores[:, 2] = 0.4
    scores[-1, best] = 0.9
    salient = None if saliency is None else np.array(saliency, dtype=np.float32)
    return Row(scores, np.arange(4), np.ones(4, dtype=bool), salient, dict(corners))


def test_agreement_by_hand():
    truth = np.eye(3, dtype=bool)[[0, 1, 2, 0]]
    floats = [
        row(0, [0.0, 1.0], [(1, (10.0, 20.0)), (0, (0.0, 0.0))]),
        row(1, [0.5, 0.5], [(0, (5.0, 5.0)), (1, (7.0, 7.0))]),
        row(1, [0.0, 0.0], [(0, (0.0, 0.0))]),
        row(0),  # no pictures
    ]
    rows = [
        row(0, [0.5, 1.0], [(1, (13.0, 24.0)), (0, (0.0, 0.0))]),  # a box moved by 5, saliency by 0.25
        row(2, [0.5, 0.5], [(1, (7.0, 7.0)), (0, (5.0, 5.0))]),  # looks in another order, and another label
        row(1, [0.0, 0.5], [(1, (9.0, 9.0))]),  # another moment: no box to compare
        row(0),
    ]
    agreement = compare(rows, floats, truth)
    assert (agreement.clips, agreement.top1, agreement.float_top1) == (4, 0.5, 0.75)
    assert agreement.loss == 0.25
    assert agreement.same_label == 0.75
    assert agreement.same_moment == pytest.approx(1 / 3)
    assert agreement.saliency_error == pytest.approx((0.25 + 0 + 0.25) / 3)
    assert agreement.box_shift == pytest.approx((5 + 0 + 0 + 0) / 4)
    assert set(agreement.to_dict()) == {
        *("clips", "top1", "float_top1", "same_label", "same_moment", "saliency_error", "box_shift"),
    }


def test_a_precision_agrees_with_itself():
    rows = [row(0, [0.0, 1.0], [(1, (10.0, 20.0))]), row(1)]
    agreement = compare(rows, rows, np.eye(3, dtype=bool)[[0, 0]])
    assert (agreement.loss, agreement.same_label, agreement.same_moment) == (0, 1, 1)
    assert (agreement.saliency_error, agreement.box_shift) == (0, 0)


def test_without_pictures_there_is_nothing_to_say_of_looks():
    agreement = compare([row(0)], [row(1)], np.eye(3, dtype=bool)[[0]])
    assert (agreement.same_moment, agreement.saliency_error, agreement.box_shift) == (None, None, None)
    assert (agreement.top1, agreement.float_top1, agreement.loss) == (1, 0, -1)


def test_mixed_sessions_take_one_graph_from_elsewhere():
    class Named:
        def __init__(self, name):
            self.name = name

        def get(self, graph):
            return f"{self.name}:{graph}"

    mixed = comparison.MixedSessions(Named("usual"), Named("other"), "spatial")
    assert [mixed.get(graph) for graph in ("spatial", "saliency")] == ["other:spatial", "usual:saliency"]
