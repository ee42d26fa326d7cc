"""What must hold for every clip, budget, price and saliency, found by trying thousands of them without a network."""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from network_makers import REAL_COST, FakeBundle, FakeClip, FakeEngine, WatchedLedger, fake_manifest

from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.runtime import recognizer as recognizer_module
from avgn_edge.runtime.budget import Budget, Run
from avgn_edge.runtime.recognizer import Recognizer


@dataclass(frozen=True)
class Case:
    """Everything but the budget."""

    cost: dict[str, tuple[int, int]]
    heard: tuple[bool, ...]
    video: bool
    glances: int
    looks: int
    confidence: float | None
    task: str
    seed: int

    def run(self, macs: int | None):
        """-> the results of every step and the engine, or the error."""
        manifest = fake_manifest(self.cost, confidence=self.confidence, task=self.task)
        engine = FakeEngine(manifest, self.seed)
        clip = FakeClip(np.array(self.heard), video=self.video)
        recognizer = Recognizer(FakeBundle(manifest), engine, "fp32")
        budget = Budget() if macs is None else Budget(f"{macs} macs", macs=macs)
        steps = list(recognizer.steps(clip, budget, glances=self.glances, looks=self.looks))
        return steps, engine, clip

    def price(self, run: Run) -> int:
        fixed, item = self.cost[run.graph]
        return fixed + item * run.items

    def thresholds(self) -> list[int]:
        """Budgets at which something becomes affordable."""
        audio = self.price(Run("audio_encoder", sum(self.heard))) if any(self.heard) else 0
        glance, saliency = self.cost["global_encoder"][1], sum(self.cost["saliency"])
        look = sum(sum(self.cost[name]) for name in ("spatial", "local_encoder", "classifier"))
        heights = [self.price(Run("audio_encoder", 16))]
        for glances in range(self.glances + 1):
            heights += [audio + glances * glance]
            heights += [
                audio + saliency + glances * glance + looks * look + extra * glance
                for looks in (1, 2, self.looks)
                for extra in (0, 1, looks)
            ]
        return heights


@st.composite
def cases(draw, **fixed):
    small = st.integers(0, 50)
    cost = draw(
        st.just(REAL_COST)
        | st.fixed_dictionaries(
            {
                # A fixed part in f_G would make two runs of one frame dearer than one of two (see the plan's promise).
                "audio_encoder": st.tuples(small, small),
                "global_encoder": st.tuples(st.just(0), st.integers(1, 50)),
                "saliency": st.tuples(small, st.just(0)),
                "spatial": st.tuples(small, st.just(0)),
                "local_encoder": st.tuples(small, small),
                "classifier": st.tuples(small, st.just(0)),
            }
        )
    )
    heard = draw(
        st.sampled_from([(True,) * 16, (False,) * 16]) | st.lists(st.booleans(), min_size=16, max_size=16).map(tuple)
    )
    values = {
        "video": draw(st.sampled_from([True, True, True, False])),
        "glances": draw(st.sampled_from([0, 4, 8, 15, 16]) | st.integers(0, 16)),
        "looks": draw(st.sampled_from([1, 5, 16]) | st.integers(1, 16)),
        "confidence": draw(st.none() | st.floats(0.2, 1.0)),
        "task": draw(st.sampled_from(["single-label", "single-label", "multi-label"])),
        "seed": draw(st.integers(0, 10_000)),
    } | fixed
    return Case(cost, heard, **values)


@st.composite
def cases_and_budgets(draw, count, **fixed):
    case = draw(cases(**fixed))
    near = st.tuples(st.sampled_from(case.thresholds()), st.sampled_from([-1, 0, 1])).map(sum)
    anywhere = st.integers(0, max(case.thresholds()) + 10)
    budgets = draw(st.lists(near | anywhere, min_size=count, max_size=count))
    return case, sorted(max(0, budget) for budget in budgets)


def outcome(case, macs):
    """The last result, or None where the budget (or the clip) buys no answer."""
    try:
        steps, engine, clip = case.run(macs)
    except (BudgetError, ClipError):
        return None
    return steps, engine, clip


@settings(max_examples=100, deadline=None)
@given(cases_and_budgets(1))
def test_spent_is_the_sum_of_the_runs_that_happened_and_never_exceeds_the_budget(drawn):
    case, (macs,) = drawn
    done = outcome(case, macs)
    assume(done is not None)
    steps, engine, _ = done
    for result in steps:
        assert result.budget.spent_gflops == sum(case.price(run) for run in result.runs) / 1e9
        assert round(result.budget.spent_gflops * 1e9) <= macs
    happened = {name: [run.items for run in steps[-1].runs if run.graph == name] for name in engine.items}
    assert happened == engine.items  # the report lists what the engine really ran, no more and no less


@settings(max_examples=100, deadline=None)
@given(cases_and_budgets(2))
def test_more_budget_never_runs_less(drawn):
    case, (less, more) = drawn
    poor, rich = outcome(case, less), outcome(case, more)
    if poor is None:
        return
    assert rich is not None, "more budget turned an answer into an error"
    a, b = poor[0][-1], rich[0][-1]
    assert a.budget.spent_gflops <= b.budget.spent_gflops
    if b.budget.glance < case.glances or a.budget.glance >= case.glances:  # else looks were given for glances
        assert a.budget.looks <= b.budget.looks
    if (a.budget.looks > 0) == (b.budget.looks > 0):  # the first look is bought with glances
        assert a.budget.glance <= b.budget.glance
    if case.confidence is None and a.exit == "looks":
        assert b.exit == "looks"


@settings(max_examples=100, deadline=None)
@given(cases())
def test_an_unlimited_budget_runs_what_the_largest_budget_runs(case):
    free, rich = outcome(case, None), outcome(case, 10**15)
    assert (free is None) == (rich is None)
    if free is not None:
        assert free[0][-1].runs == rich[0][-1].runs
        assert free[0][-1].exit == rich[0][-1].exit != "budget"


@settings(max_examples=100, deadline=None)
@given(cases_and_budgets(1))
def test_every_answer_is_a_distribution_and_the_last_one_says_why_it_is_the_last(drawn):
    case, (macs,) = drawn
    done = outcome(case, macs)
    assume(done is not None)
    steps, _, clip = done
    assert steps
    for result in steps:
        p = result.probabilities
        assert p.dtype == np.float32
        assert np.isfinite(p).all()
        assert ((p >= 0) & (p <= 1)).all()
        if case.task == "single-label":
            assert abs(float(p.sum()) - 1) < 1e-5
        assert result.score == float(p.max())
        assert [score.score for score in result.top] == sorted((float(v) for v in p), reverse=True)[:5]
    assert all(result.exit is None for result in steps[:-1])
    last = steps[-1]
    ranks = sorted(moment.rank for moment in last.moments if moment.rank is not None)
    assert ranks == list(range(last.budget.looks))
    assert all((moment.box is None) == (moment.rank is None) for moment in last.moments)
    assert all(moment.glanced for moment in last.moments if moment.rank is not None)
    if last.exit == "no-visual":
        assert not clip.has_video
        assert not last.budget.glance
        assert not last.budget.looks
    else:
        assert clip.has_video
    if last.exit == "confident":
        assert case.confidence is not None
        p = last.probabilities
        sure = p.max() if case.task == "single-label" else np.maximum(p, 1 - p).min()
        assert sure >= case.confidence
        assert last.budget.looks >= 1
    if last.exit == "looks":
        assert last.budget.looks == case.looks
    if last.exit == "budget" and case.confidence is None:
        assert last.budget.looks < case.looks or last.budget.glance < min(16, case.glances + case.looks)


@settings(max_examples=100, deadline=None)
@given(cases(confidence=0.5, video=True))
def test_the_looks_stop_at_the_first_answer_that_is_sure(case):
    done = outcome(case, None)
    assume(done is not None)
    looked = [result for result in done[0] if result.budget.looks]
    p = [r.probabilities for r in looked]
    sure = [(v.max() if case.task == "single-label" else np.maximum(v, 1 - v).min()) >= 0.5 for v in p]
    assert not any(sure[:-1])
    assert looked[-1].exit == ("confident" if sure[-1] else "looks")


@settings(max_examples=100, deadline=None)
@given(cases_and_budgets(1))
def test_the_ledger_is_asked_before_each_run(drawn):
    case, (macs,) = drawn
    with mock.patch.object(recognizer_module, "Ledger", WatchedLedger):
        outcome(case, macs)
        outcome(case, None)


@settings(max_examples=100, deadline=None)
@given(cases_and_budgets(1, video=True))
def test_only_frames_that_a_step_uses_are_converted_and_fed_to_a_graph(drawn):
    case, (macs,) = drawn
    done = outcome(case, macs)
    assume(done is not None)
    steps, engine, clip = done
    used = {moment.index for moment in steps[-1].moments if moment.glanced}
    assert sorted(clip.asked) == sorted(used)  # each once
    assert sorted(int(frame[0, 0, 0]) for frame in engine.frames_seen) == sorted(used)
    assert clip.conversions == steps[-1].budget.glance


@settings(max_examples=100, deadline=None)
@given(cases(video=False), st.sampled_from([None, 10**15]))
def test_a_clip_without_video_is_answered_from_one_run_of_the_audio_graph(case, macs):
    assume(any(case.heard))
    steps, _engine, clip = case.run(macs)
    assert [result.exit for result in steps] == ["no-visual"]
    assert steps[0].runs == (Run("audio_encoder", sum(case.heard)),)
    assert clip.asked == []


@settings(max_examples=100, deadline=None)
@given(cases(video=True), st.integers(0, 3000))
def test_the_smallest_budget_that_an_error_names_works(case, macs):
    try:
        case.run(macs)
    except BudgetError as error:
        named = error.what_to_do.removeprefix("give at least ")
    else:
        return
    assert Budget.parse(named).macs is not None
    try:
        case.run(Budget.parse(named).macs)
    except BudgetError as again:  # one more thing may be too dear: the glance of a clip that turned out silent
        named_again = Budget.parse(again.what_to_do.removeprefix("give at least ")).macs
        assert named_again > Budget.parse(named).macs
        case.run(named_again)


def test_a_time_budget_glances_one_frame_at_a_time_and_always_answers():
    case = Case(REAL_COST, (True,) * 16, True, 8, 5, None, "single-label", 1)
    manifest = fake_manifest(case.cost)
    engine = FakeEngine(manifest)
    recognizer = Recognizer(FakeBundle(manifest), engine, "fp32")
    result = recognizer.classify(FakeClip(np.array(case.heard)), "100s", glances=8, looks=5)
    assert engine.items["global_encoder"][:8] == [1] * 8
    assert (result.budget.looks, result.exit) == (5, "looks")
    late = recognizer.classify(FakeClip(np.array(case.heard)), Budget("0", seconds=0.0), glances=8, looks=5)
    assert (late.exit, late.budget.glance, late.budget.looks) == ("budget", 0, 0)
    assert late.runs == (Run("audio_encoder", 16),)


def test_a_slow_device_takes_fewer_steps_within_its_time(monkeypatch):
    """With a clock that only runs count on, an answer is in time once each graph's pace is known."""
    now = [0.0]
    monkeypatch.setattr("avgn_edge.runtime.budget.time.perf_counter", lambda: now[0])
    manifest = fake_manifest(REAL_COST)
    engine = FakeEngine(manifest)
    answer = engine.answer

    def slow(graph, inputs):
        now[0] += REAL_COST[graph][0] / 1e9 + REAL_COST[graph][1] / 1e9 * len(next(iter(inputs.values())))
        return answer(graph, inputs)

    monkeypatch.setattr(engine, "answer", slow)
    recognizer = Recognizer(FakeBundle(manifest), engine, "fp32")
    recognizer.classify(FakeClip(np.ones(16, dtype=bool)), "100s", glances=4, looks=2)  # graphs are timed here
    spent = []
    for seconds in (0.3, 0.6, 1.0, 2.0, 3.0, 6.0):
        start = now[0]
        result = recognizer.classify(FakeClip(np.ones(16, dtype=bool)), f"{seconds}s", glances=8, looks=5)
        assert now[0] - start <= seconds
        spent.append(result.budget.spent_gflops)
    assert spent == sorted(spent)
    assert spent[-1] > 4 * spent[0]


def test_a_silent_clip_that_runs_out_of_time_is_answered_late_from_one_glance():
    manifest = fake_manifest(REAL_COST)
    recognizer = Recognizer(FakeBundle(manifest), FakeEngine(manifest), "fp32")
    result = recognizer.classify(FakeClip(np.zeros(16, dtype=bool)), Budget("0", seconds=0.0))
    assert (result.exit, result.runs) == ("budget", (Run("global_encoder", 1),))
    assert np.ptp(result.probabilities) > 0


def test_a_silent_clip_without_video_is_a_clip_error():
    case = Case(REAL_COST, (False,) * 16, False, 8, 5, None, "single-label", 1)
    with pytest.raises(ClipError, match="silent and has no video"):
        case.run(None)
