"""Frames decode while a clip is listened to: the same answers for the same cost, and no frame that no step needs.

Once a look was not enough, the clip is told what is likely next and may decode that besides: answers and cost stay.
"""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import SoundSpec, VideoSpec, make_media, tone
from network_makers import REAL_COST, FakeBundle, FakeClip, ItemwiseEngine, WatchedLedger, fake_manifest

from avgn_edge._base.errors import BudgetError, ClipError
from avgn_edge.bundle.calibration_tables import ExitSettings
from avgn_edge.media.clip import Clip, ClipWrapper
from avgn_edge.media.file_clip import FileClip
from avgn_edge.media.prefetch import Prefetcher
from avgn_edge.runtime import recognizer as recognizer_module
from avgn_edge.runtime.budget import Budget, LatencyModel, Ledger, Run
from avgn_edge.runtime.exits import ExitRules
from avgn_edge.runtime.recognizer import Recognizer

HEARD = (True,) * 16
NAME = "avgn-edge-prefetch"


def running():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert running() == []


class AsideClip(ClipWrapper):
    """A clip that prefetches; listening to it takes until all is decoded that was expected."""

    def __init__(self, heard, *, broken=(), **kind):
        super().__init__(FakeClip(heard, **kind))
        self.pool = SimpleNamespace(frames=self._decode, interrupt=threading.Event())
        self._prefetcher = Prefetcher(self.pool)
        self.threads = []
        self.early: list[int] = []
        self._broken = set(broken)

    @property
    def asked(self):
        return self._clip.asked

    def windows(self, limit=None):
        for thread in running():
            thread.join()
        self.early = list(self.asked)
        return super().windows(limit)

    def frames(self, indices, deadline=None):
        found = self._prefetcher.frames(indices, deadline)
        return [found[index] for index in indices]

    def prefetch(self, indices):
        self._prefetcher.start(indices)

    @property
    def prefetched_s(self):
        return self._prefetcher.seconds

    def stop_prefetch(self):
        self._prefetcher.stop()

    def _decode(self, indices, deadline, likely=()):
        self.threads.append(threading.current_thread().name)
        if self._broken & set(indices):
            raise ClipError(self.name, "a frame is broken", "mend it")
        return dict(zip(indices, self._clip.frames(indices, deadline), strict=True))


class AtRisk(Recognizer):
    """Ends clips at these confidences."""

    thresholds: tuple[float, ...] = (2.0,)

    def strategy(self, *arguments, **named):
        rules = ExitRules(ExitSettings(), "fp32", thresholds=self.thresholds)
        return dataclasses.replace(super().strategy(*arguments, **named), rules=rules)


def run(kind=AsideClip, *, heard=HEARD, macs=None, thresholds=(2.0,), seed=0, broken=(), **asked):
    """-> the results of every step, or the error; the engine; the clip."""
    manifest = fake_manifest(REAL_COST)
    engine = ItemwiseEngine(manifest, seed)
    recognizer = AtRisk(FakeBundle(manifest), engine, "fp32")
    recognizer.thresholds = thresholds
    clip = kind(np.array(heard), seed=seed, **({"broken": broken} if broken else {}))
    budget = Budget() if macs is None else Budget("some", macs=macs)
    with mock.patch.object(recognizer_module, "Ledger", WatchedLedger):
        try:
            return list(recognizer.steps(clip, budget, **asked)), engine, clip
        except (BudgetError, ClipError) as error:
            return error, engine, clip


def told(steps):
    """All that the steps say, but for how long it took."""
    if isinstance(steps, Exception):
        return str(steps)
    times = ("timing_ms", "spent_s")
    plain = [{name: value for name, value in vars(step).items() if name not in times} for step in steps]
    return [row | {"probabilities": row["probabilities"].tolist(), "ahead_s": 0} for row in plain]


@st.composite
def requests(draw):
    sounds = st.lists(st.booleans(), min_size=16, max_size=16).map(tuple) | st.just(HEARD) | st.just((False,) * 16)
    threshold = st.sampled_from([2.0, 2.0, 1.0, 0.6, 0.0])
    return {
        "heard": draw(sounds),
        "macs": draw(st.none() | st.integers(600_000_000, 5_000_000_000)),
        "thresholds": tuple(draw(st.lists(threshold, min_size=1, max_size=6))),
        "seed": draw(st.integers(0, 1000)),
        "glances": draw(st.integers(0, 16)),
        "looks": draw(st.integers(1, 16)),
    }


@settings(max_examples=120, deadline=None)
@given(requests())
def test_decoding_ahead_changes_no_answer_and_no_cost_and_decodes_no_frame_that_no_step_needs(asked):
    steps, _, clip = run(**asked)
    other, _, plain = run(FakeClip, **asked)
    assert told(steps) == told(other)
    assert sorted(clip.asked) == sorted(plain.asked)
    if not isinstance(steps, Exception):
        assert sorted(clip.asked) == [moment.index for moment in steps[-1].moments if moment.glanced]


def test_the_glances_decode_while_the_clip_is_listened_to():
    steps, _, clip = run(glances=4, looks=2)
    assert clip.early == list(fake_manifest(REAL_COST).preprocessing.glance_order[:4])
    assert clip.threads[0] == NAME
    assert set(clip.threads[1:]) <= {threading.current_thread().name}
    assert steps[-1].ahead_s > 0


@pytest.mark.parametrize(("thresholds", "early"), [((1.0, 2.0), 0), ((2.0, 0.0), 4), ((2.0,), 4)])
def test_where_listening_may_be_the_end_nothing_is_decoded_before_it(thresholds, early):
    _, _, clip = run(thresholds=thresholds, glances=4, looks=2)
    assert len(clip.early) == early


def test_an_exit_before_the_frames_decodes_none():
    steps, _, clip = run(thresholds=(0.0,), glances=4, looks=2)
    assert (steps[-1].exit, steps[-1].budget.glance, clip.conversions) == ("confident", 0, 0)


PRICE = {graph: fixed + item for graph, (fixed, item) in REAL_COST.items()}


def test_a_budget_decodes_ahead_what_it_buys_whatever_is_heard():
    all_heard = 16 * PRICE["audio_encoder"] + 3 * PRICE["global_encoder"]
    _, _, clip = run(macs=16 * PRICE["audio_encoder"], glances=8)
    assert clip.asked == []
    for heard in (HEARD, (True,) + (False,) * 15):
        steps, _, clip = run(macs=all_heard, heard=heard, glances=8)
        assert 1 <= len(clip.early) <= steps[-1].budget.glance


def test_under_a_time_budget_the_calling_thread_decodes():
    manifest = fake_manifest(REAL_COST)
    clip = AsideClip(np.array(HEARD))
    result = Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32").classify(clip, "1000s", glances=4)
    assert set(clip.threads) == {threading.current_thread().name}
    assert result.ahead_s == 0.0


def test_a_frame_that_does_not_decode_is_the_same_error_as_without_a_thread():
    order = fake_manifest(REAL_COST).preprocessing.glance_order
    error, _, clip = run(broken=order[2:3], glances=4)
    assert isinstance(error, ClipError)
    assert str(error) == str(ClipError("fake-clip", "a frame is broken", "mend it"))
    assert NAME in clip.threads
    steps, _, clip = run(broken=order[2:3], glances=4, thresholds=(0.0,))
    assert steps[-1].exit == "confident"  # it was never asked for


def test_a_caller_who_has_seen_enough_ends_the_thread_and_keeps_the_clip():
    manifest = fake_manifest(REAL_COST)
    clip = AsideClip(np.array(HEARD))
    clip.windows = clip._clip.windows  # does not wait
    entered, leave = threading.Event(), threading.Event()
    real = clip.pool.frames

    def frames(indices, deadline, likely=()):
        entered.set()
        while not leave.wait(0.001) and not clip.pool.interrupt.is_set():
            pass
        return real(indices, deadline)

    clip.pool.frames = frames
    steps = Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32").steps(clip)
    next(steps)  # what the sound says
    assert entered.wait(20)
    assert running()
    steps.close()
    assert running() == []
    assert not clip.pool.interrupt.is_set()


def test_classify_puts_one_answer_into_a_result_the_last_of_the_steps():
    manifest = fake_manifest(REAL_COST)
    recognizer = Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
    from avgn_edge.runtime import clip_run

    with mock.patch.object(clip_run, "report", wraps=clip_run.report) as made:
        answer = recognizer.classify(FakeClip(np.array(HEARD)))
        assert made.call_count == 1
    steps = list(recognizer.steps(FakeClip(np.array(HEARD))))
    assert told([answer]) == told(steps[-1:])


def test_what_ran_beside_decoding_teaches_the_pace_nothing():
    manifest = fake_manifest(REAL_COST)
    recognizer = Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
    learned = []
    with mock.patch.object(LatencyModel, "learn", lambda _self, run, _seconds: learned.append(run.graph)):
        recognizer.classify(AsideClip(np.array(HEARD)))
        assert learned == []
        recognizer.classify(AsideClip(np.array(HEARD)), "1000s")
        assert "decode" in learned


def test_an_account_looks_ahead_without_being_charged():
    ledger = Ledger(Budget("some", macs=10**12), fake_manifest(REAL_COST).cost, None)
    later = ledger.after(Run("global_encoder", 3))
    assert later.spent_macs == 3 * PRICE["global_encoder"]
    assert (ledger.spent_macs, ledger.runs) == (0, [])


class ForeseeingClip(AsideClip):
    """Notes what it is told to be likely, and what was looked at before."""

    def __init__(self, heard, **kind):
        super().__init__(heard, **kind)
        self.foreseen: list[tuple[int, ...]] = []
        self.calls: list[list[int]] = []
        self._told = ()

    def hint(self, indices):
        self._told = tuple(indices)

    def _decode(self, indices, deadline, likely=()):
        self.foreseen.append(self._told)
        self.calls.append(list(indices))
        self._told = ()
        return super()._decode(indices, deadline)


def test_what_may_be_looked_at_next_is_foreseen_once_a_look_was_not_enough():
    steps, _, clip = run(ForeseeingClip, glances=4, looks=8, thresholds=(1.0,), seed=3)
    order = sorted((moment for moment in steps[-1].moments if moment.rank is not None), key=lambda moment: moment.rank)
    glanced_first = set(fake_manifest(REAL_COST).preprocessing.glance_order[:4])
    unseen = [moment.index for moment in order if moment.index not in glanced_first]
    assert len(unseen) >= 3
    looks = [at for at, asked in enumerate(clip.calls) if not glanced_first & set(asked)]
    assert [clip.calls[at] for at in looks] == [[index] for index in unseen]
    for at, index in zip(looks, unseen, strict=True):
        rest = unseen[unseen.index(index) + 1 :]
        assert list(clip.foreseen[at]) == ([] if index == order[0].index else rest)


@pytest.mark.parametrize("budget", ["1000s", None])
def test_against_the_clock_nothing_is_foreseen(budget):
    manifest = fake_manifest(REAL_COST)
    clip = ForeseeingClip(np.array(HEARD), seed=3)
    recognizer = AtRisk(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
    recognizer.thresholds = (1.0,)
    assert recognizer.classify(clip, budget, glances=4, looks=8).budget.looks == 8
    assert any(clip.foreseen) == (budget is None)


class OwnClip(Clip):
    """As little as a clip of one's own needs."""

    def __init__(self, fake):
        self._fake = fake
        self.name, self.duration_s, self.moments = fake.name, fake.duration_s, fake.moments
        self.has_video, self.has_audio = fake.has_video, fake.has_audio

    def windows(self, limit=None):
        return self._fake.windows(limit)

    def frames(self, indices, deadline=None):
        return self._fake.frames(indices, deadline)


@pytest.mark.parametrize("budget", ["1000s", None])
def test_a_clip_of_one_s_own_derives_from_clip_or_only_looks_like_one(budget):
    manifest = fake_manifest(REAL_COST)
    recognizer = Recognizer(FakeBundle(manifest), ItemwiseEngine(manifest), "fp32")
    derived = recognizer.classify(OwnClip(FakeClip(np.array(HEARD), seed=3)), budget, glances=4, looks=8)
    alike = recognizer.classify(FakeClip(np.array(HEARD), seed=3), budget, glances=4, looks=8)
    assert told([derived])[0]["probabilities"] == told([alike])[0]["probabilities"]
    assert (derived.budget, derived.ahead_s) == (alike.budget, 0)


# ---- a real network and real files ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movies():
    videos = [VideoSpec(times=[i / 10 for i in range(count)], gop=gop) for count, gop in ((60, 12), (80, 200), (50, 5))]
    return [make_media(video, SoundSpec(tone(440 + i, 5, 44_100))) for i, video in enumerate(videos)]


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    pytest.importorskip("onnxruntime")
    with Recognizer.open(tiny_bundle, "cpu", "fp32", threads=1) as opened:
        yield opened


def answer(result):
    return result.runs, result.probabilities.tobytes(), result.moments, result.budget, result.exit, result.warnings


def test_files_give_the_same_answers_and_cost_with_and_without(recognizer, movies, monkeypatch):
    ahead = [recognizer.classify(movie, looks=3) for movie in movies]
    assert all(result.ahead_s > 0 for result in ahead)
    monkeypatch.setattr(FileClip, "prefetch", lambda _self, _indices: None)
    alone = [recognizer.classify(movie, looks=3) for movie in movies]
    assert all(result.ahead_s == 0 for result in alone)
    assert list(map(answer, ahead)) == list(map(answer, alone))


def test_stages_are_times_of_the_calling_thread_and_never_more_than_the_whole(recognizer, movies):
    for movie in movies:
        result = recognizer.classify(movie, looks=3)
        assert sum(result.spent_s.values()) <= result.timing_ms.total / 1e3
        stages = result.timing_ms.to_dict()
        assert sum(stages.values()) - stages["total"] <= stages["total"]


def test_threads_that_share_a_recognizer_decode_ahead_each_for_itself(recognizer, movies):
    alone = [answer(recognizer.classify(movie, looks=2)) for movie in movies]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda movie: recognizer.classify(movie, looks=2), movies * 4))
    for result, expected in zip(together, alone * 4, strict=True):
        assert answer(result) == expected
