"""Time budgets under a clock that only work moves: what is dropped, in which order, and that nothing ends late."""

from __future__ import annotations

from dataclasses import dataclass, field
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_makers import FakeBundle, FakeClip, FakeEngine, fake_manifest

from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.engines.base import DeviceReport
from avgn_edge.media.clip import OutOfTime, not_heard
from avgn_edge.media.windows import WindowBuffer
from avgn_edge.runtime.budget import LATE, Budget
from avgn_edge.runtime.recognizer import Recognizer

PACES = {
    "audio_encoder": (0.001, 0.0005),
    "global_encoder": (0.0, 0.005),
    "saliency": (0.0002, 0.0),
    "spatial": (0.001, 0.0),
    "local_encoder": (0.0, 0.002),
    "classifier": (0.0003, 0.0),
}
SOUND_S = 0.002
"""What reading a second of sound takes."""
PACKET_S = 0.001


@dataclass
class Clock:
    """Seconds that pass only when something says so."""

    now: float = 100.0
    ends: list[tuple[str, float]] = field(default_factory=list)
    """What ended when."""

    def __call__(self) -> float:
        return self.now

    def spend(self, what: str, seconds: float) -> None:
        self.now += seconds
        self.ends.append((what, self.now))


class TimedEngine(FakeEngine):
    """Each run takes its fixed and its items' time."""

    def __init__(self, manifest, clock, paces) -> None:
        super().__init__(manifest)
        self._clock, self._paces = clock, paces

    def answer(self, graph, inputs):
        made = super().answer(graph, inputs)
        fixed, item = self._paces[graph]
        self._clock.spend(graph, fixed + item * self.items[graph][-1])
        return made


class TimedClip(FakeClip):
    """A clip whose frame takes `packets[moment]` packets of a millisecond, and who says so unless `said` differs."""

    def __init__(self, clock, heard=True, packets=5, said=None) -> None:
        super().__init__(np.full(16, heard))
        self._clock = clock
        self._packets = [packets] * 16 if isinstance(packets, int) else packets
        self._said = said or self._packets

    def windows(self, limit=None):
        buffer = WindowBuffer((moment.time_s for moment in self.moments), limit=limit)
        position = 0
        while buffer.go_on(position) and (needed := buffer.next_needed(position)) is not None:
            position = needed + 1_600
            buffer.write(needed, np.full(1_600, 0.5 if self._heard.any() else 0.0, dtype=np.float32))
            self._clock.spend("sound", 0.1 * SOUND_S)
        if buffer.unread:
            self.warnings = (not_heard(len(buffer.unread), 16),)
        return buffer.finish()

    def work(self, indices):
        return sum(self._said[index] for index in indices)

    def frames(self, indices, deadline=None):
        for index in indices:
            for _ in range(self._packets[index]):
                if deadline is not None and self._clock.now + PACKET_S > deadline:
                    raise OutOfTime
                self._clock.spend("packet", PACKET_S)
        return super().frames(indices)


class Bench:
    """A recognizer whose paces are known: it has classified a clip before."""

    def __init__(self, paces=None, glances=4, looks=3, engine_name="fake") -> None:
        self.clock = Clock()
        self.manifest = fake_manifest(dict.fromkeys(GRAPHS, (0, 1)), glances=glances, looks=looks)
        engine = TimedEngine(self.manifest, self.clock, paces or PACES)
        engine.report = DeviceReport("fake", "fake", engine_name, "0")
        with mock.patch("avgn_edge.runtime.warm_up.WarmMedia"):
            self.recognizer = Recognizer(FakeBundle(self.manifest), engine, "fp32")
        self.run(1000.0)

    def run(self, seconds, **clip):
        """-> the result, when it was begun, and what ended when."""
        self.clock.ends.clear()
        with mock.patch("time.perf_counter", self.clock):
            made = TimedClip(self.clock, **clip)
            self.started = self.clock.now
            return self.recognizer.classify(made, Budget(f"{seconds}s", seconds=seconds))

    @property
    def took(self) -> float:
        return self.clock.now - self.started


def heard(result) -> int:
    return next((run.items for run in result.runs if run.graph == "audio_encoder"), 0)


@pytest.fixture(scope="module")
def bench():
    return Bench()


def test_looks_are_dropped_first_then_glances_then_all_but_sound_then_sound(bench):
    rows = []
    for milliseconds in range(1, 160):
        result = bench.run(milliseconds / 1e3)
        rows.append((heard(result), result.budget.glance, result.budget.looks))
        sound, glances, looks = rows[-1]
        assert sound >= 1
        assert glances == 0 or sound == 16
        assert looks == 0 or glances >= 4
        assert (result.exit == "looks") == (looks == 3)
        assert any("was not read" in warning for warning in result.warnings) == (sound < 16)
    assert rows == sorted(rows)
    # Every rung of the ladder is there: more and more sound, then each glance, then each look.
    assert {1, 16} < {sound for sound, _, _ in rows}
    assert {glances for _, glances, looks in rows if looks == 0} == {0, 1, 2, 3, 4}
    assert {looks for _, _, looks in rows} == {0, 1, 2, 3}


def test_nothing_is_begun_that_would_end_late(bench):
    for milliseconds in range(8, 160):
        budget = milliseconds / 1e3
        result = bench.run(budget)
        assert bench.took <= budget + 1e-9, (milliseconds, bench.clock.ends[-3:])
        assert not any("late" in warning for warning in result.warnings)


def test_time_is_used_where_there_is_some(bench):
    for milliseconds in (30, 60, 90):
        bench.run(milliseconds / 1e3)
        dearest = 0.005 + 5 * PACKET_S + 0.005  # a glance and a look
        assert bench.took >= 0.97 * milliseconds / 1e3 - dearest


paces = st.fixed_dictionaries(
    {name: st.tuples(st.floats(0.0001, 0.01), st.just(0.0) | st.floats(0.0001, 0.01)) for name in GRAPHS}
)
seconds = st.floats(0.001, 0.5)


@settings(max_examples=60, deadline=None)
@given(paces, st.integers(1, 8), st.integers(1, 8), st.integers(1, 20), seconds, seconds)
def test_more_time_never_hears_glances_or_looks_less(paces, glances, looks, packets, one, other):
    bench = Bench(paces, glances, looks)
    poor, rich = (bench.run(budget, packets=packets) for budget in sorted((one, other)))
    a, b = (heard(poor), poor.budget.glance, poor.budget.looks), (heard(rich), rich.budget.glance, rich.budget.looks)
    assert all(less <= more for less, more in zip(a, b, strict=True))


def test_a_frame_that_takes_longer_than_foretold_is_given_up_and_the_answer_is_what_is_known():
    bench = Bench()
    result = bench.run(0.08, packets=[500] * 16, said=[1] * 16)
    assert (heard(result), result.budget.glance, result.exit) == (16, 0, "budget")
    assert bench.took <= 0.08
    assert result.timing_ms.decode > 20  # what was given up counts as decoding all the same
    p = result.probabilities
    assert np.ptp(p) > 0  # what was heard


def test_looks_at_moments_that_take_too_long_to_decode_are_given_up_in_time():
    bench = Bench()
    order = bench.manifest.preprocessing.glance_order
    packets = [2 if moment in order[:4] else 500 for moment in range(16)]
    result = bench.run(0.4, packets=packets, said=[2] * 16)
    assert result.budget.glance == 4
    assert result.budget.looks < 3
    assert result.exit == "budget"
    assert bench.took <= 0.4


def test_a_frame_far_from_its_key_frame_does_not_keep_the_others_from_their_turn():
    bench = Bench()
    order = bench.manifest.preprocessing.glance_order
    packets = [500 if moment == order[0] else 2 for moment in range(16)]
    result = bench.run(0.2, packets=packets)
    glanced = {moment.index for moment in result.moments if moment.glanced}
    assert glanced == set(order[1:4])
    assert bench.took <= 0.2


def test_a_silent_clip_is_answered_late_from_its_cheapest_frame_and_says_so():
    bench = Bench()
    third = bench.manifest.preprocessing.glance_order[2]
    result = bench.run(0.002, heard=False, packets=[3 if moment == third else 9 for moment in range(16)])
    assert [moment.index for moment in result.moments if moment.glanced] == [third]
    assert result.exit == "budget"
    assert any(warning.startswith("late: ") for warning in result.warnings)


def test_an_answer_within_a_tenth_of_its_budget_is_not_called_late():
    bench = Bench()
    ledger_started = bench.clock.now
    with mock.patch("time.perf_counter", bench.clock):
        from avgn_edge.runtime.budget import LatencyModel, Ledger

        ledger = Ledger(Budget("1s", seconds=1.0), {}, LatencyModel())
        bench.clock.now = ledger_started + LATE - 0.001
        assert ledger.lateness is None
        bench.clock.now += 0.002
        assert ledger.lateness == "late: 1101 ms, 1s were asked for"


def test_an_engine_that_compiles_for_each_size_listens_in_sizes_that_are_ready():
    bench = Bench(engine_name="openvino")
    sizes = set()
    for milliseconds in range(3, 40):
        result = bench.run(milliseconds / 1e3)
        sizes.add(heard(result))
        unread = [int(warning.split("sound of ")[1].split()[0]) for warning in result.warnings if "not read" in warning]
        assert heard(result) >= 16 - sum(unread)
        assert bench.took <= milliseconds / 1e3 or milliseconds < 8
    assert sizes == {1, 4, 8, 16}


def test_without_a_time_budget_sound_and_frames_have_no_deadline():
    bench = Bench()
    with mock.patch("time.perf_counter", bench.clock):
        result = bench.recognizer.classify(TimedClip(bench.clock, packets=500), None)
    assert (heard(result), result.budget.glance >= 4, result.budget.looks) == (16, True, 3)
