"""The measures of accuracy and calibration: by hand, against scikit-learn, and whatever the numbers are."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgn_edge._base.errors import MissingExtraError
from avgn_edge.data.evaluation import metrics

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with the evaluate extra")

SINGLE, SEVERAL = "single-label", "multi-label"


def drawn(seed, clips=40, classes=6, task=SINGLE):
    """Probabilities that say something of the truth, and the truth."""
    rng = np.random.default_rng(seed)
    if task == SINGLE:
        truth = np.eye(classes, dtype=bool)[rng.integers(0, classes, clips)]
        scores = np.exp(rng.normal(0, 1, (clips, classes)) + truth)
        return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32), truth
    truth = rng.random((clips, classes)) < 0.3
    return (1 / (1 + np.exp(-rng.normal(truth - 0.5, 1)))).astype(np.float32), truth


# ---- top-k ----------------------------------------------------------------------------------------------------------


def test_top_k_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=bool)
    assert [metrics.top_k_accuracy(probabilities, truth, k) for k in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])


def test_of_equal_scores_the_earlier_class_is_the_answer():
    truth = np.array([[False, True, False]])
    assert metrics.top_k_accuracy(np.full((1, 3), 1 / 3), truth, 1) == 0
    assert metrics.top_k_accuracy(np.full((1, 3), 1 / 3), truth, 2) == 1


def test_one_of_several_true_classes_is_enough():
    truth = np.array([[True, False, True]])
    assert metrics.top_k_accuracy(np.array([[0.2, 0.3, 0.5]]), truth, 1) == 1
    assert metrics.top_k_accuracy(np.array([[0.2, 0.5, 0.3]]), truth, 1) == 0


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_top_k_is_scikit_learn_s_and_grows_with_k(seed, k):
    probabilities, truth = drawn(seed)
    ours = metrics.top_k_accuracy(probabilities, truth, k)
    if k < truth.shape[1]:
        theirs = sklearn.top_k_accuracy_score(truth.argmax(axis=1), probabilities, k=k, labels=range(truth.shape[1]))
        assert ours == pytest.approx(theirs)
    else:
        assert ours == 1
    assert ours <= metrics.top_k_accuracy(probabilities, truth, k + 1)


def test_a_clip_without_a_known_label_is_never_right():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1]])
    truth = np.array([[True, False], [False, False]])
    assert metrics.top_k_accuracy(probabilities, truth, 2) == 0.5


# ---- mAP ------------------------------------------------------------------------------------------------------------


def test_average_precision_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.7], [0.3, 0.2]])
    truth = np.array([[True, False], [False, True], [True, False]])
    # class 0: right at ranks 1 and 3, (1/1 + 2/3) / 2; class 1: right at rank 1
    assert metrics.mean_average_precision(probabilities, truth).value == pytest.approx((5 / 6 + 1) / 2)


@pytest.mark.parametrize("task", [SINGLE, SEVERAL])
@pytest.mark.parametrize("seed", range(5))
def test_map_is_scikit_learn_s_over_all_classes(task, seed):
    probabilities, truth = drawn(seed, task=task)
    assert truth.any(axis=0).all()
    ours = metrics.mean_average_precision(probabilities, truth)
    assert ours.value == pytest.approx(sklearn.average_precision_score(truth, probabilities, average="macro"))
    assert ours.classes == truth.shape[1]


@pytest.mark.filterwarnings("error")  # scikit-learn warns of a class without a clip, and calls it 0
def test_classes_that_no_clip_shows_are_left_out_and_counted():
    probabilities, truth = drawn(1, task=SEVERAL)
    without = truth.copy()
    without[:, [0, 3]] = False
    ours = metrics.mean_average_precision(probabilities, without)
    kept = [1, 2, 4, 5]
    assert ours.classes == 4
    assert ours.value == pytest.approx(sklearn.average_precision_score(truth[:, kept], probabilities[:, kept]))


def test_without_any_known_label_there_is_no_map():
    ours = metrics.mean_average_precision(np.full((3, 2), 0.5), np.zeros((3, 2), dtype=bool))
    assert (ours.value, ours.classes) == (None, 0)


# ---- calibration ----------------------------------------------------------------------------------------------------


def guo(confidence, right, bins=15):
    """Eq. 3 of Guo et al. as it is written, over bins ((m - 1)/M, m/M]."""
    error = 0.0
    for m in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / bins < c <= m / bins]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            mean = sum(float(confidence[i]) for i in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(accuracy - mean)
    return error


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.91, 0.09], [0.6, 0.4], [0.4, 0.6]])
    truth = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=bool)
    # bin of 0.90 and 0.91: half right at 0.905; bin of 0.6 twice: both right
    assert metrics.reliability(probabilities, truth, SINGLE).error == pytest.approx(0.5 * 0.405 + 0.5 * 0.4)


def test_bins_are_closed_on_the_right():
    probabilities = np.array([[0.55, 0.45], [0.6, 0.4]])  # 0.6 is 9/15: in one bin with 0.55
    truth = np.array([[1, 0], [0, 1]], dtype=bool)
    assert metrics.reliability(probabilities, truth, SINGLE).error == pytest.approx((0.6 - 0.45) / 2)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not():
    certain = np.array([[1.0, 0.0]] * 4)
    assert metrics.reliability(certain, certain.astype(bool), SINGLE).error == 0
    assert metrics.reliability(certain, ~certain.astype(bool), SINGLE).error == 1
    assert metrics.reliability(certain, certain.astype(bool), SEVERAL).error == 0
    assert metrics.reliability(certain, ~certain.astype(bool), SEVERAL).error == 1


@given(st.integers(0, 10_000), st.integers(1, 60))
def test_one_label_a_clip_is_judged_by_its_top_class(seed, clips):
    probabilities, truth = drawn(seed, clips=clips)
    confidence = probabilities.astype(np.float64).max(axis=1)
    right = truth[np.arange(clips), probabilities.argmax(axis=1)]
    ours = metrics.reliability(probabilities, truth, SINGLE).error
    assert ours == pytest.approx(guo(confidence, right), abs=1e-9)
    assert 0 <= ours <= 1


@given(st.integers(0, 10_000))
def test_several_labels_a_clip_are_judged_decision_by_decision(seed):
    probabilities, truth = drawn(seed, clips=15, task=SEVERAL)
    pairs = [(float(p), bool(t)) for p, t in zip(probabilities.ravel(), truth.ravel(), strict=True)]
    confidence, right = [max(p, 1 - p) for p, _ in pairs], [(p >= 0.5) == t for p, t in pairs]
    ours = metrics.reliability(probabilities, truth, SEVERAL).error
    assert ours == pytest.approx(guo(confidence, right), abs=1e-6)


# ---- chance, and the extra ------------------------------------------------------------------------------------------


def test_chance_is_what_guessing_reaches():
    truth = np.eye(4, dtype=bool)
    assert metrics.chance(truth, SINGLE) == 0.25
    truth = np.array([[True, False, False], [True, False, True]])
    assert metrics.chance(truth, SEVERAL) == 0.75  # equal scores rank class 0 at 1 and class 2 at 1/2
    equal = metrics.mean_average_precision(np.full((2, 3), 0.5), truth)
    assert equal.value == pytest.approx(0.75)


def test_missing_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"scikit-learn.*avgn-edge\[evaluate\]"):
        metrics.mean_average_precision(np.ones((1, 1)), np.ones((1, 1), dtype=bool))
