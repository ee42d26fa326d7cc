"""A budget's row: what is counted, what is skipped, and what is refused."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_makers import COST, fake_recognizer
from media_makers import VideoSpec, write_media
from network_makers import LABELS, FakeBundle, FakeEngine

pytest.importorskip("sklearn", reason="scikit-learn comes with the evaluate extra")

from avgn_edge._base.errors import BudgetError, BundleError, DataError
from avgn_edge.bundle.calibration_tables import ExitSettings, ExitTable, OperatingPoint, RiskRow
from avgn_edge.bundle.manifest import GraphCost
from avgn_edge.data.datasets import LabelledClip, read_dataset
from avgn_edge.data.evaluation.measuring import evaluate, unknown_labels, warm_up
from avgn_edge.data.evaluation.row import Answer, Failure, Row, Setting, has_paper_encoders, row_of
from avgn_edge.data.evaluation.when_and_where import Episode, Truth, WhenAndWhere
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer

SETTING = Setting("made", "cpu", "fp32", "single-label", "2gflops", paper_encoders=True)


def answer(shown, probabilities, **changes):
    base = Answer(
        truth=np.array([index in shown for index in range(len(probabilities))]),
        probabilities=np.array(probabilities, dtype=np.float32),
        exit="looks",
        spent_gflops=1.0,
        glances=4,
        looks=1,
        total_ms=10.0,
        when_and_where=None,
    )
    return replace(base, **changes)


def spied(recognizer, monkeypatch):
    """The results that a recognizer gave, as they come."""
    given, answer = [], recognizer.answer

    def spy(*arguments, **named):
        given.append(answer(*arguments, **named))
        return given[-1]

    monkeypatch.setattr(recognizer, "answer", spy)
    return given


# ---- rows from answers ----------------------------------------------------------------------------------------------


def test_a_row_by_hand():
    answers = [
        answer({0}, [0.7, 0.2, 0.1], exit="confident", spent_gflops=1.0, glances=4, looks=1, total_ms=10.0),
        answer({1}, [0.5, 0.3, 0.2], exit="budget", spent_gflops=3.0, glances=6, looks=2, total_ms=30.0),
        answer({0}, [0.2, 0.3, 0.5], exit="budget", spent_gflops=2.0, glances=2, looks=0, total_ms=20.0),
        answer(set(), [0.9, 0.1, 0.0], exit="looks", spent_gflops=2.0, glances=4, looks=1, total_ms=20.0),
    ]
    row = row_of(SETTING, answers, [Failure("x.mp4", "x.mp4: no: do")])
    assert (row.clips, row.unknown_clips, row.failed[0].clip) == (4, 1, "x.mp4")
    assert (row.top1, row.top5) == (0.25, 0.75)
    # class 0: ranks 2 and 4 of 0.9, 0.7, 0.5, 0.2; class 1: 0.3 twice at rank 1, one of them right
    assert row.mean_average_precision == pytest.approx(((1 / 2 + 2 / 4) / 2 + 1 / 2) / 2)
    assert row.average_precision_classes == 2
    assert row.expected_calibration_error == pytest.approx((0.3 + 2 * 0.5 + 0.9) / 4)
    assert row.chance == pytest.approx(0.25)
    assert (row.mean_gflops, row.mean_glances, row.mean_looks, row.mean_ms) == (2.0, 4.0, 1.0, 20.0)
    assert row.p95_gflops == pytest.approx(2.85)
    assert row.p95_ms == pytest.approx(28.5)
    assert row.mean_paper_gflops == pytest.approx(0.68 + 0.33 * 4 + 1.35 * 1)
    assert row.exits == {"confident": 1, "budget": 2, "looks": 1, "no-visual": 0}
    assert (row.when, row.when_clips, row.where, row.where_clips) == (None, 0, None, 0)


def test_when_and_where_are_counted_over_the_clips_they_apply_to():
    judged = [
        WhenAndWhere(when=True, where=True, where_of_readable=True),
        WhenAndWhere(when=False, where=None, where_of_readable=False),
        WhenAndWhere(when=True, where=None, where_of_readable=None),
        WhenAndWhere(when=None, where=None, where_of_readable=False),
        None,
    ]
    row = row_of(SETTING, [answer({0}, [0.6, 0.4], when_and_where=one) for one in judged])
    assert (row.when, row.when_clips) == (pytest.approx(2 / 3), 3)
    assert (row.where, row.where_clips) == (1.0, 1)
    assert (row.where_of_readable, row.readable_clips) == (pytest.approx(1 / 3), 3)


def test_where_nobody_looked_the_strict_reading_has_no_answer():
    unseen = WhenAndWhere(when=None, where=None, where_of_readable=False)
    row = row_of(SETTING, [answer({0}, [0.6, 0.4], looks=0, when_and_where=unseen)])
    assert (row.where_of_readable, row.readable_clips) == (None, 1)


def test_the_json_of_a_row_has_every_field():
    row = row_of(replace(SETTING, paper_encoders=False), [answer(set(), [0.6, 0.4])], [Failure("x", "x: y: z")])
    told = json.loads(json.dumps(row.to_dict(), allow_nan=False))
    assert set(told) == {field.name for field in fields(Row)}
    assert told["failed"] == [{"clip": "x", "error": "x: y: z"}]
    assert told["mean_paper_gflops"] is None
    assert told["mean_average_precision"] is None


@pytest.mark.parametrize(
    ("audio", "glance", "look", "papers"),
    [(0.70, 0.2998, 1.3346, True), (0.70, 0.2998, 0.751, False), (0.1, 0.2998, 1.3346, False), (0.7, 0.1, 1.33, False)],
)
def test_the_paper_s_prices_are_for_the_paper_s_encoders(audio, glance, look, papers):
    with fake_recognizer() as recognizer:
        cost = {
            **recognizer.manifest.cost,
            "audio_encoder": GraphCost(0, round(audio * 1e9 / 16)),
            "global_encoder": GraphCost(0, round(glance * 1e9)),
            "local_encoder": GraphCost(0, round(look * 1e9)),
        }
        assert has_paper_encoders(replace(recognizer.manifest, cost=cost)) is papers
        assert not has_paper_encoders(recognizer.manifest)


# ---- rows from clips ------------------------------------------------------------------------------------------------


def test_every_clip_is_answered_within_its_budget(recognizer, csv_set, monkeypatch):
    clips = read_dataset(csv_set([*LABELS, f"{LABELS[0]}|{LABELS[1]}"])).clips
    results, steps = spied(recognizer, monkeypatch), []
    row = evaluate(recognizer, clips, Options.of(" 100MFLOPS "), progress=lambda: steps.append(1))
    assert (row.clips, len(steps), row.failed) == (7, 7, ())
    assert (row.model, row.device, row.precision, row.budget) == ("fake", "fake", "fp32", "100mflops")
    right = [result.label in clip.labels for result, clip in zip(results, clips, strict=True)]
    assert 0 < sum(right) < 7  # an answer that is always the same, to all labels
    assert row.top1 == pytest.approx(np.mean(right))
    spent = [result.budget.spent_gflops for result in results]
    assert 0 < row.mean_gflops == pytest.approx(np.mean(spent))
    assert max(spent) <= 0.1
    assert row.mean_ms == pytest.approx(np.mean([result.timing_ms.total for result in results]))


def test_probabilities_are_of_every_class_in_the_order_of_the_labels(recognizer, movie):
    result = recognizer.classify(movie, top=len(LABELS))
    assert {score.label: score.score for score in result.top} == pytest.approx(
        dict(zip(recognizer.labels, result.probabilities.tolist(), strict=True))
    )
    assert len(result.top) == len(LABELS)


def test_a_clip_that_cannot_be_read_is_skipped_and_named(recognizer, csv_set):
    row = evaluate(recognizer, read_dataset(csv_set(["dog"] * 9, broken=1)).clips, Options.of("20mflops"))
    assert (row.clips, [failure.clip for failure in row.failed]) == (9, ["broken0.mp4"])
    assert "broken0.mp4" in row.failed[0].error


def test_more_than_a_tenth_unreadable_stops_at_once(recognizer, csv_set):
    clips = read_dataset(csv_set(["dog"] * 8, broken=2)).clips
    steps = []
    with pytest.raises(DataError, match=r"2 of 10 clips .* broken0\.mp4"):
        evaluate(recognizer, clips, Options.of("20mflops"), progress=lambda: steps.append(1))
    steps.clear()
    with pytest.raises(DataError, match="2 of 10 clips"):
        evaluate(recognizer, clips[::-1], Options.of("20mflops"), progress=lambda: steps.append(1))
    assert len(steps) < 2


def test_a_clip_without_an_answer_in_the_budget_is_named_with_the_budget_it_needs(csv_set):
    table = csv_set(["dog"] * 10)
    write_media(table.parent / "3.mp4", VideoSpec(times=[i / 5 for i in range(10)]))  # no sound to answer from
    clips = read_dataset(table).clips
    with fake_recognizer(cost={**COST, "global_encoder": (0, 30_000_000)}) as recognizer:
        row = evaluate(recognizer, clips, Options.of("20mflops"))
        assert (row.clips, len(row.failed), row.failed[0].clip) == (9, 1, "3.mp4")
        assert "30mflops" in row.failed[0].error
        assert not evaluate(recognizer, clips, Options.of("30mflops")).failed


def test_a_budget_that_buys_nothing_is_refused(recognizer):
    with pytest.raises(BudgetError, match="16mflops"):
        evaluate(recognizer, [LabelledClip(Path("no.mp4"), "no.mp4", ("dog",))], Options.of("1mflops"))


def test_a_set_of_unknown_labels_is_refused_before_any_clip_is_opened(recognizer, tmp_path):
    clips = [LabelledClip(tmp_path / "no.mp4", "no.mp4", (f"class {index}",)) for index in range(8)]
    with pytest.raises(DataError, match=r"class 0, .*class 4 and 3 more.*dog, rain"):
        evaluate(recognizer, clips)


def test_clips_of_unknown_labels_count_as_wrong(recognizer, csv_set):
    data = read_dataset(csv_set(["dog", "cat", "rain|cat"]))
    assert unknown_labels(data, recognizer.labels) == ("cat",)
    row = evaluate(recognizer, data.clips, Options.of("20mflops"))
    assert (row.clips, row.unknown_clips, row.average_precision_classes) == (3, 1, 2)
    assert row.top5 <= 2 / 3


def test_a_segment_is_a_clip_of_its_own(recognizer, csv_set, monkeypatch):
    table = csv_set(["dog,,", "dog,1.0,2.5", "dog,2.0,"], columns="path,label,start,end")
    results = spied(recognizer, monkeypatch)
    # Truth is known in the file's time: whatever the network finds salient, it lies in [1, 2.5).
    known = {"1.mp4": Truth((Episode(1.0, 2.5, seen=False, heard=True, boxes=()),), 0.25)}
    row = evaluate(recognizer, read_dataset(table).clips, truth=known)
    assert [result.duration_s for result in results] == pytest.approx([4.0, 1.5, 2.0], abs=0.2)
    assert (row.when, row.when_clips) == (1.0, 1)


def test_several_labels_a_clip_are_measured_as_such(csv_set):
    with fake_recognizer(task="multi-label", looks=2) as recognizer:
        row = evaluate(recognizer, read_dataset(csv_set(["dog|rain", "rain|violin", "train"])).clips)
    assert (row.task, row.average_precision_classes) == ("multi-label", 4)
    assert row.chance == pytest.approx((1 + 2 + 1 + 1) / 3 / 4)


def calibrated(recognizer):
    """The same, with exits: after the glances for an average of 100 MFLOPs, and at once for a risk of 2 %."""
    manifest = recognizer.manifest
    table = ExitTable(8, (1.0, 1.0, 1.0), 1000, 10**9, (RiskRow(0.0, 0, 10**8),))
    point = OperatingPoint("fp32", 10**8, 8, 5, (2.0, 0.0, 2.0), 0.5, 10**8)
    held = replace(manifest, exits=ExitSettings(None, {"fp32": (table,)}), operating_points=(point,))
    return Recognizer(FakeBundle(held), FakeEngine(held), "fp32")


def test_a_row_says_which_rule_of_stopping_it_is_of(recognizer, csv_set):
    clips = read_dataset(csv_set(["dog", "rain"])).clips
    able = calibrated(recognizer)
    for asked, name, glances in (
        ({}, "none", None),
        ({"average": "100mflops"}, "average 100mflops", 8),
        ({"exit_risk": 0.02}, "risk 0.02", 0),
        ({"budget": "1GFLOPS", "exit_risk": 0.02}, "1gflops, risk 0.02", 0),
        ({"budget": "1gflops", "average": "100mflops"}, "1gflops, average 100mflops", 8),
    ):
        row = evaluate(able, clips, Options.of(**asked))
        assert row.budget == name
        if glances is not None:
            assert (row.mean_glances, row.mean_looks, row.exits["confident"]) == (glances, 0, 2)


def test_a_rule_that_the_bundle_cannot_follow_is_refused_before_any_clip_is_opened(recognizer):
    clips = [LabelledClip(Path("no.mp4"), "no.mp4", ("dog",))]
    for asked in ({"average": "100mflops"}, {"exit_risk": 0.02}):
        with pytest.raises(BundleError, match="avgn-edge calibrate"):
            evaluate(recognizer, clips, Options.of(**asked))
    with pytest.raises(BudgetError):
        evaluate(calibrated(recognizer), clips, Options.of(exit_risk=0.02, average="100mflops"))


def test_a_part_of_a_file_is_stopped_by_the_same_rule(recognizer, csv_set):
    clips = read_dataset(csv_set(["dog,1.0,2.5"], columns="path,label,start,end")).clips
    assert evaluate(calibrated(recognizer), clips, Options.of(average="100mflops")).exits["confident"] == 1


def test_warming_up_runs_every_graph_whatever_the_clip(recognizer, tmp_path):
    warm_up(recognizer, [LabelledClip(tmp_path / "missing.mp4", "missing.mp4", ("dog",))])
    engine = recognizer._engine
    assert all(engine.items[graph] for graph in COST)
