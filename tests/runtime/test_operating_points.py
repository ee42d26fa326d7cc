"""A calibrated bundle looks up what did best under a limit, and the ledger holds it to the limit."""

from __future__ import annotations

import dataclasses
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_makers import REAL_COST, FakeBundle, FakeClip, ItemwiseEngine, WatchedLedger, fake_manifest

from avgn_edge._base.errors import BudgetError
from avgn_edge.bundle.calibration_tables import ExitSettings, ExitTable, OperatingPoint
from avgn_edge.runtime import recognizer as recognizer_module
from avgn_edge.runtime.budget import Budget
from avgn_edge.runtime.options import Options
from avgn_edge.runtime.recognizer import Recognizer

PRICE = {graph: fixed + item for graph, (fixed, item) in REAL_COST.items()}
LOOK = PRICE["spatial"] + PRICE["local_encoder"] + PRICE["classifier"]
GLANCE = PRICE["global_encoder"]
LISTENED = 16 * PRICE["audio_encoder"]
HEARD = (True,) * 16
NEVER = 2.0


def price(glances, looks):
    """What a clip with sound costs whose looks are all at moments not glanced at."""
    return LISTENED + glances * GLANCE + PRICE["saliency"] + looks * LOOK + min(looks, 16 - glances) * GLANCE


def point(macs, glances, looks, thresholds=None, precision="fp32"):
    return OperatingPoint(precision, macs, glances, looks, thresholds, 0.5, macs)


class Drawn(ItemwiseEngine):
    """Finds salient what was glanced at, where as much was as `attracts` says, and else what was not."""

    attracts = 8

    def answer(self, graph, inputs):
        out = super().answer(graph, inputs)
        if graph == "saliency":
            seen = inputs["glanced"]
            return {"saliency": np.where(seen == (seen.sum() >= self.attracts), 1, -1) + out["saliency"] / 1000}
        return out


def run(points, macs=None, *, heard=HEARD, seed=0, tables=(), average=None, kind=ItemwiseEngine, **asked):
    """The last result and the engine; T_G is 8 and k is 5 where nothing else is said."""
    manifest = dataclasses.replace(
        fake_manifest(REAL_COST, glances=8, looks=5),
        operating_points=tuple(points),
        exits=ExitSettings(None, {"fp32": tuple(tables)} if tables else {}),
    )
    engine = kind(manifest, seed)
    recognizer = Recognizer(FakeBundle(manifest), engine, "fp32")
    budget = Budget() if macs is None else Budget("some", macs=macs)
    with mock.patch.object(recognizer_module, "Ledger", WatchedLedger):
        results = list(recognizer.steps(FakeClip(np.array(heard), seed=seed), budget, average=average, **asked))
    return results[-1], engine


def glanced_first(result):
    """How many glances came before anything was found salient."""
    names = [run.graph for run in result.runs]
    first = result.runs[: names.index("saliency")]
    return sum(run.items for run in first if run.graph == "global_encoder")


POINTS = (
    point(price(0, 1), 0, 1),
    point(price(0, 2), 0, 2),
    point(price(2, 2), 2, 2),
    point(price(4, 3), 4, 3),
    point(price(8, 5), 8, 5),
)


@pytest.mark.parametrize("at", range(1, 5))
def test_the_dearest_point_within_the_limit_says_how_many_glances_and_looks(at):
    for macs in (POINTS[at].macs, POINTS[at].macs + 1):
        result, _ = run(POINTS, macs)
        assert (glanced_first(result), result.budget.looks) == (POINTS[at].glances, POINTS[at].looks)
    result, _ = run(POINTS, POINTS[at].macs - 1)
    assert glanced_first(result) == POINTS[at - 1].glances
    assert 1 <= result.budget.looks <= POINTS[at - 1].looks


def test_a_limit_at_a_point_s_own_cost_buys_a_look_however_near_the_next_point_is():
    near = (point(price(0, 1), 0, 1), point(price(1, 1), 1, 1), point(price(2, 1), 2, 1), point(price(2, 3), 2, 3))
    for at, one in enumerate(near):
        result, _ = run(near, one.macs)
        assert result.budget.looks >= 1, at
        assert round(result.budget.spent_gflops * 1e9) <= one.macs


def test_beyond_the_last_point_nothing_more_is_spent_than_its_looks_cost():
    at, _ = run(POINTS, POINTS[-1].macs)
    beyond, _ = run(POINTS, 10**12)
    assert (beyond.exit, beyond.runs) == ("looks", at.runs)


def test_below_the_first_point_the_budget_is_divided_as_without_points():
    first = 2 * price(4, 3)
    for macs in (LISTENED, price(0, 1), price(1, 2), first - 1):
        with_points, _ = run([point(first, 4, 3)], macs)
        without, _ = run([], macs)
        assert with_points.runs == without.runs
        assert with_points.exit == without.exit
    assert run([point(first, 4, 3)], first)[0].runs != run([], first)[0].runs


def test_a_point_that_this_clip_cannot_afford_gives_way_to_the_next_cheaper_one():
    """Calibration clips had little sound, and this one has much."""
    points = [point(price(0, 1), 0, 1), point(price(4, 1) - LISTENED, 4, 1)]
    result, engine = run(points, price(4, 1) - 1)
    assert (result.budget.looks, engine.items["local_encoder"]) == (1, [1])
    assert result.budget.glance == 1
    silent, _ = run(points, price(4, 1) - LISTENED, heard=(False,) * 16)
    assert glanced_first(silent) == 4
    assert silent.budget.looks == 1


@pytest.mark.parametrize("asked", [{"glances": 3}, {"looks": 2}, {"glances": 3, "looks": 2}], ids=str)
def test_glances_or_looks_that_are_asked_for_leave_the_points_out(asked):
    for one in POINTS:
        assert run(POINTS, one.macs, **asked)[0].runs == run([], one.macs, **asked)[0].runs


def test_without_a_limit_and_under_a_time_budget_the_bundle_s_own_glances_and_looks_hold():
    own, _ = run(POINTS[:2])
    assert (glanced_first(own), own.budget.looks) == (8, 5)
    manifest = dataclasses.replace(fake_manifest(REAL_COST, glances=8, looks=5), operating_points=POINTS[:2])
    recognizer = Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
    assert recognizer.strategy(Options.of("80ms")).points == ()
    assert recognizer.strategy(Options.of("80ms")).glances == 8
    assert recognizer.classify(FakeClip(np.array(HEARD)), "1000s").budget.looks == 5


def test_points_of_another_precision_do_not_count():
    other = [dataclasses.replace(one, precision="int8") for one in POINTS]
    assert run(other, POINTS[2].macs)[0].runs == run([], POINTS[2].macs)[0].runs


def test_points_of_averages_are_no_limits():
    more = [*POINTS, point(POINTS[1].macs, 8, 5, (0.0, 0.0, 0.0))]
    for one in POINTS:
        assert run(more, one.macs)[0].runs == run(POINTS, one.macs)[0].runs


# ---- whatever the points are ----------------------------------------------------------------------------------------


@st.composite
def rising_points(draw):
    """Points as calibration makes them: each buys a first look in every clip, and neither number falls."""
    pairs = draw(st.lists(st.tuples(st.sampled_from([0, 1, 2, 4, 8]), st.integers(1, 8)), min_size=1, max_size=8))
    points, glances, looks, macs = [], 0, 1, 0
    for more_glances, more_looks in sorted(pairs):
        glances, looks = max(glances, more_glances), max(looks, more_looks)
        macs = max(macs, price(glances, 1)) + draw(st.sampled_from([0, 1, LOOK, GLANCE, 2 * GLANCE]))
        points.append(point(macs, glances, looks))
    return points


@st.composite
def points_and_limits(draw, count):
    points = draw(rising_points())
    near = st.sampled_from(points).flatmap(lambda one: st.integers(-2, 2).map(lambda off: one.macs + off))
    anywhere = st.integers(points[0].macs, points[-1].macs + 4 * (GLANCE + LOOK))
    return points, sorted(draw(st.lists(near | anywhere, min_size=count, max_size=count)))


SOUNDS = st.just(HEARD) | st.lists(st.booleans(), min_size=16, max_size=16).map(tuple)


@settings(max_examples=150, deadline=None)
@given(points_and_limits(1), SOUNDS, st.integers(0, 50))
def test_the_ledger_holds_every_clip_to_the_limit(drawn, heard, seed):
    points, (macs,) = drawn
    result, _ = run(points, macs, heard=heard, seed=seed)
    assert round(result.budget.spent_gflops * 1e9) <= macs
    assert result.budget.looks >= 1 or macs < points[0].macs


@settings(max_examples=200, deadline=None)
@given(points_and_limits(2), SOUNDS, st.integers(0, 50))
def test_a_higher_limit_never_spends_less(drawn, heard, seed):
    points, (less, more) = drawn
    less, more = max(less, points[0].macs), max(more, points[0].macs)
    poor, rich = (run(points, macs, heard=heard, seed=seed)[0] for macs in (less, more))
    assert poor.budget.spent_gflops <= rich.budget.spent_gflops


def test_looks_at_what_was_glanced_at_already_do_not_make_a_higher_limit_spend_less():
    """Eight glances and eight looks at them are cheaper than two glances and eight looks elsewhere."""
    points = [point(price(2, 1), 2, 8), point(2 * price(8, 8), 8, 8)]
    (poor, _), (rich, _) = (run(points, points[1].macs + more, kind=Drawn) for more in (-1, 0))
    assert (glanced_first(poor), glanced_first(rich)) == (2, 8)
    assert (rich.budget.looks, rich.budget.glance) == (8, 8)
    assert poor.budget.looks > 0
    assert poor.budget.spent_gflops <= rich.budget.spent_gflops


def test_points_that_follow_closely_do_not_make_a_higher_limit_spend_less():
    """What a point may spend is kept below what the next spends, which is kept below the one after it."""
    second = price(0, 4)
    points = [point(price(0, 1), 0, 8), point(second, 1, 8), point(second + 1_000_000, 2, 8)]
    results = [run(points, macs, kind=Drawn)[0] for macs in (second - 1, second, second + 999_999, second + 1_000_000)]
    assert [glanced_first(result) for result in results] == [0, 1, 1, 2]
    spent = [result.budget.spent_gflops for result in results]
    assert spent == sorted(spent)


# ---- averages -------------------------------------------------------------------------------------------------------

TABLES = [ExitTable(glances, (1.0,) * 7, 100, 1000, ()) for glances in (0, 4)]


def average_point(thresholds, macs=500_000_000, glances=4):
    return point(macs, glances, 5, thresholds)


@pytest.mark.parametrize(
    ("thresholds", "glances", "looks", "exit_"),
    [
        ((0.0, 0.0, 0.0), 0, 0, "confident"),
        ((NEVER, 0.0, 0.0), 4, 0, "confident"),
        ((NEVER, NEVER, 0.0), 4, 1, "confident"),
        ((NEVER, NEVER, NEVER, NEVER, 0.0, NEVER), 4, 3, "confident"),
        ((NEVER, NEVER, NEVER), 4, 5, "looks"),
    ],
)
@pytest.mark.parametrize("tables", [TABLES, []], ids=["calibrated", "without tables"])
def test_the_thresholds_of_an_average_end_the_clips(thresholds, glances, looks, exit_, tables):
    result, engine = run([average_point(thresholds)], tables=tables, average="500mflops")
    assert (sum(engine.items["global_encoder"][:1]), result.budget.looks, result.exit) == (glances, looks, exit_)


def test_an_average_picks_the_nearest_point():
    points = [
        average_point((0.0, 0.0, 0.0), 200_000_000),
        average_point((NEVER, 0.0, 0.0), 500_000_000),
        average_point((NEVER, NEVER, 0.0), 520_000_000),
    ]
    for asked, steps in (("198mflops", 0), ("495mflops", 1), ("509mflops", 1), ("515mflops", 2), ("540mflops", 2)):
        result, _ = run([*POINTS, *points], tables=TABLES, average=asked)
        assert (result.budget.glance > 0) + (result.budget.looks > 0) == steps
        assert result.warnings == ()
    result, _ = run(points, tables=TABLES, average="2gflops")
    assert any("2gflops" in warning for warning in result.warnings)
    with pytest.raises(BudgetError, match="at least 200mflops"):
        run(points, tables=TABLES, average="150mflops")


def test_an_average_under_a_hard_cap_stays_below_the_cap():
    full = [average_point((NEVER, NEVER, NEVER), price(4, 5))]
    asked = f"{price(4, 5) / 1e6}mflops"
    for macs in (LISTENED, price(0, 1), price(4, 1), price(4, 3)):
        result, _ = run(full, macs, tables=TABLES, average=asked)
        assert round(result.budget.spent_gflops * 1e9) <= macs
        assert result.exit == "budget"
