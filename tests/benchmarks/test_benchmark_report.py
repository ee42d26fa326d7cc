"""Rounds, ratios and tables: the arithmetic of the benchmarks."""

import json
from dataclasses import dataclass

import pytest
from rich.console import Console

from benchmarks import rounds
from benchmarks.processes import Batch, Cold
from benchmarks.report import ClipRows, Report, Row, median_stages
from benchmarks.rounds import Spread, due, interleaved


@dataclass(frozen=True)
class Took:
    seconds: float


def spread(median):
    return Spread(0.9 * median, median, 1.1 * median, 5)


def row(name, median, **changes):
    return Row(name, None if median is None else spread(median), {"decode frames": median or 0.0}, **changes)


@pytest.fixture
def report():
    mine = row("ours, no budget, cpu", 0.2, floor=spread(0.16), floor_stages={"graphs": 0.16}, orchestration=0.04)
    clip = ClipRows(
        "2min", 120.0, 3.1, (mine, row("PyAV + PyTorch", 3.0), row("torchcodec + PyTorch", None, note="why"))
    )
    samples = tuple((at / 5, (100 + at) * 10**6, 2) for at in range(40))
    cold = Cold("10s", spread(1.1), spread(1.2), spread(2e8))
    machine = {"processor": "x", "machine": "y", "openvino": None}
    return Report(machine, {"bundle": "b"}, (clip,), (cold,), (Batch(2, 8.0, 12.5, samples),))


def test_times_as_fast_is_the_ratio_of_medians(report):
    clip = report.clips[0]
    assert clip.times_as_fast("ours, no budget, cpu", "PyAV + PyTorch") == pytest.approx(15)
    assert clip.times_as_fast("ours, no budget, cpu", "torchcodec + PyTorch") is None
    assert clip.times_as_fast("nobody", "PyAV + PyTorch") is None


def test_over_floor_is_ours_over_what_lies_under_it(report):
    assert report.clips[0].rows[0].over_floor == pytest.approx(1.25)
    assert report.clips[0].rows[1].over_floor is None


def test_medians_of_stages_count_what_did_not_happen_as_no_time():
    assert median_stages([{"a": 1.0, "b": 4.0}, {"a": 3.0}, {"a": 2.0}]) == {"a": 2.0, "b": 0.0}


def test_quartiles():
    assert Spread.of([4.0, 1.0, 3.0, 2.0, 5.0]) == Spread(2.0, 3.0, 4.0, 5)


def test_memory_that_grows_shows(report):
    (batch,) = report.batches
    assert batch.peak_bytes == 139 * 10**6
    assert batch.growth == pytest.approx(133.5 / 114.5, rel=0.01)
    assert Batch(1, 1.0, 1.0, ()).growth is None


def test_json_holds_what_follows_too(report):
    read = json.loads(json.dumps(report.to_dict()))
    assert read["clips"][0]["rows"][0]["over_floor"] == pytest.approx(1.25)
    assert read["clips"][0]["rows"][2]["seconds"] is None
    assert read["batches"][0]["peak_bytes"] == 139 * 10**6


def test_tables_say_ratios_and_why_something_was_not_run(report):
    console = Console(width=200, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    for table in report.tables(("PyAV + PyTorch", "torchcodec + PyTorch")):
        console.print(table)
    said = console.export_text()
    for expected in ("15.0", "1.25", "4.0%", "not run", "why", "3,000", "180.0 … 220.0", "12.5", "139"):
        assert expected.replace("180.0 … 220.0", "180 … 220") in said


def test_runs_are_in_turn_and_as_many_as_patience_allows(monkeypatch):
    monkeypatch.setattr(rounds, "PAUSE_S", 0.0)
    order = []

    def takes(name, seconds):
        def run():
            order.append(name)
            return Took(seconds)

        return run

    runs = {"fast": takes("fast", 0.1), "slow": takes("slow", 1.5), "slowest": takes("slowest", 20.0)}
    found = interleaved(runs, most=12, patience_s=6.0)
    assert {name: len(kept) for name, kept in found.items()} == {"fast": 12, "slow": 4, "slowest": 2}
    assert order[:3] == ["fast", "slow", "slowest"]  # makes ready; counted for the slowest alone
    assert [at for at, name in enumerate(order) if name == "slow"][-1] > len(order) // 2  # spread over the rounds


@pytest.mark.parametrize(("wanted", "of"), [(1, 7), (3, 15), (15, 15), (4, 10)])
def test_turns_are_given_as_often_as_wanted(wanted, of):
    assert sum(due(turn, wanted, of) for turn in range(of)) == wanted
