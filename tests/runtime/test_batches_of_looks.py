"""Looks between which nothing can end the clip run together, and answer and cost as if they had run one by one."""

from __future__ import annotations

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_makers import REAL_COST, FakeBundle, FakeClip, ItemwiseEngine, WatchedLedger, fake_manifest, made_clip

from avgn_edge.bundle.calibration_tables import GLANCED, ExitSettings
from avgn_edge.runtime import recognizer as recognizer_module
from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.exits import ExitRules
from avgn_edge.runtime.recognizer import Recognizer

HEARD = (True,) * 16


class OneByOne(Recognizer):
    """Takes every look by itself."""

    def strategy(self, *arguments, **named):
        return dataclasses.replace(super().strategy(*arguments, **named), batched=False)


def with_thresholds(recognizer, thresholds):
    """The same recognizer, whose clips end at these confidences."""
    strategy = recognizer.strategy

    def chosen(*arguments, **named):
        rules = ExitRules(ExitSettings(), "fp32", thresholds=thresholds)
        return dataclasses.replace(strategy(*arguments, **named), rules=rules)

    recognizer.strategy = chosen
    return recognizer


def run(kind=Recognizer, *, heard=HEARD, macs=None, thresholds=None, seed=0, **asked):
    """The results of every step, the engine and the clip; the ledger is watched."""
    manifest = fake_manifest(REAL_COST)
    engine = ItemwiseEngine(manifest, seed)
    recognizer = kind(FakeBundle(manifest), engine, "fp32")
    if thresholds is not None:
        with_thresholds(recognizer, thresholds)
    clip = FakeClip(np.array(heard), seed=seed)
    budget = Budget() if macs is None else Budget("some", macs=macs)
    with mock.patch.object(recognizer_module, "Ledger", WatchedLedger):
        return list(recognizer.steps(clip, budget, **asked)), engine, clip


def told(steps):
    """What each step says, but for what it had cost by then and how long it took."""
    return [
        (
            step.exit,
            step.budget.looks,
            step.probabilities.tolist(),
            [
                (moment.rank, moment.box, moment.label, moment.score)
                for moment in step.moments
                if moment.rank is not None
            ],
            [moment.saliency for moment in step.moments],
        )
        for step in steps
    ]


# ---- with a real network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("glances", "looks"), [(0, 5), (4, 16), (8, 3), (16, 16)])
@pytest.mark.parametrize(("seed", "heard"), [(1, "all"), (2, "some"), (3, "none")])
def test_looks_in_batches_are_the_looks_one_by_one(seed, heard, glances, looks, tiny_bundle):
    pytest.importorskip("onnxruntime")

    def results(kind):
        with kind.open(tiny_bundle, "cpu", "fp32", threads=1) as recognizer, made_clip(seed, heard) as clip:
            return list(recognizer.steps(clip, glances=glances, looks=looks))

    together, alone = results(Recognizer), results(OneByOne)
    assert len(together) == len(alone) >= looks
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
        assert [moment.rank for moment in one.moments] == [moment.rank for moment in other.moments]
        boxes = [(m.box, n.box) for m, n in zip(one.moments, other.moments, strict=True) if m.rank is not None]
        assert len(boxes) == one.budget.looks
        for box, same in boxes:
            np.testing.assert_allclose(box, same, atol=0.05)
        assert one.exit == other.exit
    assert together[-1].budget == alone[-1].budget  # the cost, the glances and the looks
    patches = [[run.items for run in steps[-1].runs if run.graph == "local_encoder"] for steps in (together, alone)]
    assert patches == [[looks], [1] * looks]


# ---- without one ----------------------------------------------------------------------------------------------------


@st.composite
def requests(draw):
    sounds = st.lists(st.booleans(), min_size=16, max_size=16).map(tuple) | st.just(HEARD)
    threshold = st.sampled_from([2.0, 2.0, 1.0001, 0.95, 0.6])
    return {
        "heard": draw(sounds),
        "macs": draw(st.none() | st.integers(650_000_000, 9_000_000_000)),
        "thresholds": (2.0, 2.0, *draw(st.lists(threshold, min_size=1, max_size=16))),
        "seed": draw(st.integers(0, 1000)),
        "glances": draw(st.integers(0, 16)),
        "looks": draw(st.integers(1, 16)),
    }


@settings(max_examples=60, deadline=None)
@given(requests())
def test_a_batch_changes_no_answer_no_cost_and_no_end(asked):
    together, engine, clip = run(**asked)
    alone, single, other_clip = run(OneByOne, **asked)
    assert told(together) == told(alone)
    assert together[-1].budget == alone[-1].budget
    assert sorted(clip.asked) == sorted(other_clip.asked)
    assert sum(engine.items["local_encoder"]) == sum(single.items["local_encoder"]) == together[-1].budget.looks
    assert set(single.items["local_encoder"]) <= {1}
    for graph in ("spatial", "classifier", "saliency", "audio_encoder"):
        assert engine.items[graph] == single.items[graph]


@settings(max_examples=60, deadline=None)
@given(requests())
def test_a_batch_ends_wherever_the_clip_may_and_no_sooner(asked):
    steps, engine, _ = run(**asked)
    thresholds = asked["thresholds"]
    looked = 0
    for size in engine.items["local_encoder"]:
        inside = [thresholds[min(GLANCED + looked + row, len(thresholds) - 1)] for row in range(1, size)]
        assert all(threshold > 1 for threshold in inside)
        looked += size
        last = thresholds[min(GLANCED + looked, len(thresholds) - 1)]
        assert last <= 1 or looked == steps[-1].budget.looks  # what ends a batch: an exit, or the clip


def test_each_look_of_a_batch_is_a_step():
    steps, engine, _ = run(glances=4, looks=6)
    assert engine.items["local_encoder"] == [6]
    assert [step.budget.looks for step in steps] == [0, 0, 1, 2, 3, 4, 5, 6]
    assert [step.exit for step in steps] == [None] * 7 + ["looks"]
    assert len({step.probabilities.tobytes() for step in steps}) == 8
    for before, after in itertools.pairwise(steps[2:]):
        ranks = [(moment.index, moment.rank) for moment in before.moments if moment.rank is not None]
        assert set(ranks) < {(moment.index, moment.rank) for moment in after.moments if moment.rank is not None}


def test_frames_that_a_batch_needs_are_decoded_and_encoded_together():
    steps, engine, clip = run(glances=4, looks=16)
    assert engine.items["global_encoder"] == [4, 12]
    assert sorted(clip.asked) == list(range(16))
    assert steps[-1].budget.glance == 16


PRICE = {graph: fixed + item for graph, (fixed, item) in REAL_COST.items()}
LOOK = PRICE["spatial"] + PRICE["local_encoder"] + PRICE["classifier"]
ALL_GLANCED = 16 * PRICE["audio_encoder"] + 16 * PRICE["global_encoder"] + PRICE["saliency"]


@pytest.mark.parametrize("looks", [1, 3, 7])
@pytest.mark.parametrize("spare", [0, LOOK - 1])
def test_a_cap_in_the_middle_of_the_looks_ends_the_batch_there(looks, spare):
    macs = ALL_GLANCED + looks * LOOK + spare
    steps, engine, _ = run(macs=macs, glances=16, looks=8)
    assert engine.items["local_encoder"] == [looks]
    assert (steps[-1].exit, steps[-1].budget.looks) == ("budget", looks)
    assert round(steps[-1].budget.spent_gflops * 1e9) == macs - spare


def test_a_cap_counts_the_glances_that_a_batch_needs():
    """Of four unseen moments the fourth is no longer paid for."""
    three = 16 * PRICE["audio_encoder"] + PRICE["saliency"] + 3 * (PRICE["global_encoder"] + LOOK)
    for macs, looks in ((three - 1, 2), (three, 3), (three + PRICE["global_encoder"] + LOOK - 1, 3)):
        steps, engine, clip = run(macs=macs, glances=0, looks=5)
        assert (engine.items["global_encoder"], engine.items["local_encoder"]) == ([looks], [looks])
        assert len(clip.asked) == looks
        assert (steps[-1].exit, steps[-1].budget.looks) == ("budget", looks)


def test_under_a_time_budget_every_look_is_by_itself():
    manifest = fake_manifest(REAL_COST)
    engine = ItemwiseEngine(manifest)
    result = Recognizer(FakeBundle(manifest), engine, "fp32").classify(
        FakeClip(np.array(HEARD)), "1000s", glances=4, looks=6
    )
    assert result.budget.looks == 6
    assert set(engine.items["local_encoder"]) == {1}
    assert set(engine.items["global_encoder"]) == {1}


@pytest.mark.parametrize("confidence", [1.0, 0.999])
def test_where_any_look_may_end_the_clip_every_look_is_by_itself(confidence):
    _, engine, _ = run(thresholds=(2.0, 2.0, confidence), glances=4, looks=6)
    assert engine.items["local_encoder"] == [1] * 6
