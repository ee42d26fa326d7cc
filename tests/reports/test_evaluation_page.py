"""The page over an evaluation: its numbers are the rows', its matrix can be read for ten classes and for hundreds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from html_checks import Page

pytest.importorskip("sklearn", reason="scikit-learn comes with the evaluate extra")

from avgn_edge.data.datasets import LabelledClip
from avgn_edge.data.evaluation.row import Answer, Failure, Setting, Witness, row_of
from avgn_edge.report.evaluation_page import Example, dearest_row, evaluation_page
from avgn_edge.report.html import percent


def made(classes, clips, budget="none", task="single-label", cost=1.0):
    """A row and its details, of random answers that are mostly right."""
    rng = np.random.default_rng(classes)
    labels = [f"<class> {index}" for index in range(classes)]
    witness, answers = Witness(labels, task), []
    for at in range(clips):
        true = int(rng.integers(classes))
        logits = rng.normal(size=classes) + 3.0 * (np.arange(classes) == true)
        scores = np.exp(logits) / np.exp(logits).sum() if task == "single-label" else 1 / (1 + np.exp(-logits))
        truth = np.arange(classes) == true
        looks = int(rng.integers(0, 5))
        answer = Answer(truth, scores.astype(np.float32), "looks", cost * (1 + looks), 8, looks, 50.0 + at, None)
        answers.append(answer)
        witness(LabelledClip(Path(f"{at}.mp4"), f"{at}.mp4", (labels[true],)), answer)
    setting = Setting("a <model>", "cpu", "int8", task, budget, False)
    return row_of(setting, answers, [Failure("<bad>.mp4", "it is bad")]), witness.details(5), answers


def test_details_are_sums_over_the_answers():
    row, details, answers = made(10, 200)
    right = sum(bool(answer.truth[answer.probabilities.argmax()]) for answer in answers)
    assert details.confusion.sum() == 200
    assert details.confusion.trace() == right == round(200 * row.top1)
    assert details.reliability.counts.sum() == 200
    assert details.reliability.error == pytest.approx(row.expected_calibration_error)
    assert (details.looks.sum(), details.gflops.sum()) == (
        sum(answer.looks for answer in answers),
        pytest.approx(sum(answer.spent_gflops for answer in answers)),
    )
    assert 0 < len(details.mistakes) <= 5
    assert [one.score for one in details.mistakes] == sorted((one.score for one in details.mistakes), reverse=True)
    for mistake in details.mistakes:
        answer = answers[int(mistake.clip.path.stem)]
        assert mistake.label not in mistake.clip.labels
        assert mistake.true_score == answer.probabilities[answer.truth].max() < mistake.score


def test_a_clip_with_a_label_that_is_not_known_is_no_row_of_the_matrix():
    witness = Witness(["a", "b"], "single-label")
    scores = np.array([0.2, 0.8], np.float32)
    for truth in ([False, False], [True, False], [True, True]):
        answer = Answer(np.array(truth), scores, "looks", 1.0, 1, 1, 1.0, None)
        witness(LabelledClip(Path("x"), "x", ("?",)), answer)
    details = witness.details(9)
    assert details.unknown == 1
    assert details.confusion.tolist() == [[0, 1], [0, 1]]
    assert [one.true_score for one in details.mistakes] == pytest.approx([0.0, 0.2])


def test_a_page_of_ten_classes_has_every_cell_of_the_matrix():
    row, details, _ = made(10, 300)
    page = Page(evaluation_page([row], [details]))
    cells = [found for found in page.all("td") if "--v:" in found.get("style", "")]
    assert len(cells) == 100
    assert sum("right" in cell["class"].split() for cell in cells) == 10
    assert f"{percent(row.top1)} top-1 at {row.mean_gflops:.3f} GFLOPs" in page.text
    for value in (row.top5, row.mean_average_precision, row.expected_calibration_error, row.chance):
        assert percent(value) in page.text
    assert "<bad>.mp4 it is bad" in page.text
    assert "a <model>" in page.text


def test_a_page_of_two_hundred_classes_has_a_picture_and_the_pairs():
    row, details, _ = made(200, 2_000)
    text = evaluation_page([row], [details])
    page = Page(text)
    assert len(page.all("img", **{"class": "map"})) == 1
    assert not [found for found in page.all("td") if "--v:" in found.get("style", "")]
    wrong = details.confusion.copy()
    np.fill_diagonal(wrong, 0)
    truth, answer = divmod(int(wrong.argmax()), 200)
    assert f"<class> {truth} <class> {answer} {wrong.max()}" in page.text
    assert len(text.encode()) < 500_000


def test_several_labels_a_clip_have_average_precisions_instead():
    row, details, _ = made(6, 60, task="multi-label")
    page = Page(evaluation_page([row], [details]))
    assert details.confusion is None
    assert np.mean(list(details.average_precisions.values())) == pytest.approx(row.mean_average_precision)
    for value in details.average_precisions.values():
        assert percent(value) in page.text


def test_each_budget_has_its_part_and_the_dearest_one_is_open():
    made_rows = [made(4, 40, budget, cost=cost) for budget, cost in (("1gflops", 0.2), ("none", 2.0), ("80ms", 0.5))]
    rows, details = [one[0] for one in made_rows], [one[1] for one in made_rows]
    page = Page(evaluation_page(rows, details))
    assert dearest_row(rows) == 1
    for number, words in ((1, "1gflops"), (2, "no budget"), (3, "80ms")):
        assert f"{number}. {words}: " in page.text
    assert sum("open" in found for found in page.all("details")) == 1
    assert len(page.all("circle", r="4")) == 2 * len(rows)


def test_what_went_wrong_leads_to_its_page():
    row, details, _ = made(5, 60)
    first, second = details.mistakes[:2]
    hostile = replace(second, clip=replace(second.clip, name="<b>\u202e"))
    page = Page(evaluation_page([row], [details], [Example(first, "a-1.html"), Example(hostile, None, error="<gone>")]))
    assert page.links == ["a-1.html"]
    assert f"It shows {first.clip.labels[0]} ({percent(first.true_score)}), the answer was {first.label}" in page.text
    assert "<gone>" in page.text
    assert "\\u202e" in page.text


def test_a_row_without_a_mistake_or_an_early_end_is_whole_too():
    row, details, _ = made(3, 1)
    Page(evaluation_page([row], [details]))
