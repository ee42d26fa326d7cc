"""Device profiles and paces: kept for what they were measured on, measured again when they cannot be trusted."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_makers import FakeBundle, FakeEngine, fake_manifest

from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.runtime import device_profile
from avgn_edge.runtime.device_profile import ProfileKey
from avgn_edge.runtime.latency import HIGH, GraphLatency, LatencyModel, Run, quantile
from avgn_edge.runtime.sessions import Sessions

KEY = ProfileKey("cpu", "fp32", 2, "0" * 64, "onnxruntime 1.20", "a processor")
PACES = {name: GraphLatency({1: 0.002, 16: 0.02}, (0.9, 1.0, 1.3)) for name in GRAPHS}
COST = dict.fromkeys(GRAPHS, (0, 1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "avgn-edge" / "profiles"


def test_a_profile_comes_back_as_it_was_kept_and_leaves_nothing_else_behind(cache):
    assert device_profile.load(KEY) is None
    path = device_profile.save(KEY, PACES)
    assert device_profile.load(KEY) == PACES
    assert list(cache.iterdir()) == [path]


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ProfileKey)])
def test_a_profile_of_another_device_precision_number_of_threads_bundle_or_engine_is_another(field):
    device_profile.save(KEY, PACES)
    other = dataclasses.replace(KEY, **{field: 3 if field == "threads" else "other"})
    assert other.file_name != KEY.file_name
    assert device_profile.load(other) is None


def spoilt(content: str, kind: str) -> str:
    data = json.loads(content)
    pace = data["graphs"]["spatial"]
    if kind == "cut short":
        return content[: len(content) // 2]
    if kind == "empty":
        return ""
    if kind == "a list":
        return "[]"
    if kind == "another version":
        data["schema"] += 1
    if kind == "another key in it":
        data["key"]["threads"] = 9
    if kind == "not a number":
        pace["seconds"]["1"] = float("nan")
    if kind == "negative":
        pace["seconds"]["1"] = -1.0
    if kind == "no items":
        pace["seconds"] = {"0": 1.0}
    if kind == "no spread":
        pace["spread"] = []
    if kind == "text":
        pace["seconds"] = "fast"
    return json.dumps(data)


@pytest.mark.parametrize("kind", ["cut short", "empty", "a list", "another version", "another key in it"])
def test_a_profile_that_is_not_whole_or_another_s_is_as_good_as_none(kind):
    path = device_profile.save(KEY, PACES)
    path.write_text(spoilt(path.read_text(), kind))
    assert device_profile.load(KEY) is None


@pytest.mark.parametrize("kind", ["not a number", "negative", "no items", "no spread", "text"])
def test_a_damaged_profile_is_as_good_as_none(kind):
    path = device_profile.save(KEY, PACES)
    path.write_text(spoilt(path.read_text(), kind))
    assert device_profile.load(KEY) is None


def test_a_profile_is_measured_once_read_afterwards_and_measured_again_when_damaged(cache):
    manifest = fake_manifest(COST)
    bundle = FakeBundle(manifest)

    def runs() -> int:
        engine = FakeEngine(manifest)
        pace = LatencyModel()
        sessions = Sessions(bundle, engine, "fp32", 2)
        sessions.measure(pace)
        first = sum(map(len, engine.items.values()))
        sessions.measure(pace)
        assert sum(map(len, engine.items.values())) == first  # once a process
        assert all(pace.expect(Run(graph)) > 0 for graph in GRAPHS)
        return first

    measuring, reading = runs(), runs()
    assert reading < measuring / 4
    (path,) = cache.iterdir()
    path.write_text("{")
    assert runs() == measuring
    assert runs() == reading


def test_a_cache_that_cannot_be_written_costs_a_measurement_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert device_profile.save(KEY, PACES) is None
    assert device_profile.load(KEY) is None
    manifest = fake_manifest(COST)
    pace = LatencyModel()
    Sessions(FakeBundle(manifest), FakeEngine(manifest), "fp32").measure(pace)
    assert pace.expect(Run("spatial")) > 0


def test_sessions_of_other_threads_precisions_and_bundles_have_other_profiles():
    manifest = fake_manifest(COST)
    bundle, engine = FakeBundle(manifest), FakeEngine(manifest)
    keys = {
        Sessions(bundle, engine, "fp32", 1).profile_key,
        Sessions(bundle, engine, "fp32", 2).profile_key,
        Sessions(bundle, engine, "int8", 1).profile_key,
        Sessions(FakeBundle(manifest), engine, "fp32", 1).profile_key,
    }
    assert len(keys) == 4


def test_a_run_between_two_measured_sizes_takes_what_lies_between():
    pace = GraphLatency({1: 1.0, 4: 2.5, 16: 6.1}, (1.0,))
    assert [pace.typical(items) for items in (1, 4, 16)] == [1.0, 2.5, 6.1]
    assert pace.typical(2) == pytest.approx(1.5)
    assert pace.typical(10) == pytest.approx(4.3)
    assert pace.typical(32) == pytest.approx(12.2)


@given(st.lists(st.integers(1, 64), min_size=2, max_size=2), st.lists(st.floats(0.001, 1), min_size=3, max_size=3))
def test_more_items_never_take_less_where_larger_sizes_took_longer(items, seconds):
    few, many = sorted(items)
    pace = GraphLatency(dict(zip((1, 4, 16), sorted(seconds), strict=True)), (1.0,))
    assert pace.typical(few) <= pace.typical(many) * (1 + 1e-9)


def test_what_is_expected_is_a_high_share_of_runs_not_their_mean():
    pace = LatencyModel({"spatial": GraphLatency({1: 0.010}, (0.8, 1.0, 1.0, 1.1, 1.9))})
    assert pace.expect(Run("spatial")) == pytest.approx(0.019)
    assert pace.expect(Run("spatial"), 0.5) == pytest.approx(0.010)


def test_one_slow_run_changes_nothing_and_a_slow_device_everything():
    pace = LatencyModel({"spatial": GraphLatency({1: 0.010}, (1.0,) * 16)})
    pace.learn(Run("spatial"), 1.0)
    assert pace.expect(Run("spatial")) == pytest.approx(0.010)
    for _ in range(8):
        pace.learn(Run("spatial"), 0.030)
    assert pace.expect(Run("spatial")) == pytest.approx(0.030)
    for _ in range(64):
        pace.learn(Run("spatial"), 0.005)
    assert pace.expect(Run("spatial")) == pytest.approx(0.005)


def test_what_never_ran_is_expected_to_take_no_time_and_the_first_run_tells():
    pace = LatencyModel()
    assert pace.expect(Run("decode", 100)) == 0
    pace.learn(Run("decode", 50), 0.5)
    assert pace.expect(Run("decode", 100)) == pytest.approx(1.0)
    assert pace.expect(Run("decode", 0)) == 0


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(values, share):
    found = quantile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert all(sum(value <= smaller for value in values) < share * len(values) for smaller in values if smaller < found)
    assert HIGH > 0.5
